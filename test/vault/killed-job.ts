import type { Audit } from '#src/audit/audit.ts'
import { createKeyJobs } from '#src/vault/key-jobs.ts'
import { openParts, type Place } from './key-job-parts.ts'

/** Works on a job and kills itself at its `killAt`th row: after its commit, or between its audit row and its commit. */
export interface KilledJob extends Place {
  jobId: string
  killAt: number
  moment: 'after the commit' | 'before the commit'
}

const options = JSON.parse(process.argv[2] ?? '{}') as KilledJob
const parts = await openParts(options)
let rows = 0

function killAtRow(moment: KilledJob['moment']): void {
  if (moment === options.moment && ++rows === options.killAt) process.kill(process.pid, 'SIGKILL')
}

const audit: Audit = {
  async record(...events) {
    await parts.audit.record(...events)
    killAtRow('before the commit')
  },
}
const jobs = createKeyJobs({ ...parts, audit, pause: async () => {}, onRow: () => killAtRow('after the commit') })
await jobs.runDue(options.jobId)
await parts.close()
