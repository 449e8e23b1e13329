import { setTimeout as delay } from 'node:timers/promises'
import type { Audit } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { newUuid } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import type { MovableRow, MoveOutcome } from '../keys/key-job.ts'
import { runDueJob } from '../keys/run-job.ts'
import { type KeyPlanDeps, planFor } from './key-plans.ts'

export interface KeyJobsDeps extends Omit<KeyPlanDeps, 'change'> {
  audit: Audit
  /** In place of waiting between pages. */
  pause?: (ms: number) => Promise<void>
  onRow?: (row: Pick<MovableRow, 'name'>, outcome: MoveOutcome) => void
  signal?: AbortSignal
}

export interface KeyJobs {
  /**
   * Works on one job that is due, or on the one with `id`, until it is done, has to wait, or its turn is over; `false` when
   * there was none, or another process has it.
   */
  runDue(id?: string): Promise<boolean>
}

/** Moves what keys guard to their successors; any number of processes may, one at a time for each job. */
export function createKeyJobs(deps: KeyJobsDeps): KeyJobs {
  const { db, clock, onRow, signal } = deps
  const change = createAuditedChange(deps)
  const owner = newUuid()
  const wait = async (ms: number) => {
    await delay(ms, undefined, { ref: false, ...(signal && { signal }) })
  }
  const pause = deps.pause ?? wait
  const run = { db, clock, owner, pause, onRow, signal }
  return { runDue: (id) => runDueJob(run, (job, by) => planFor({ ...deps, change }, job, by), id) }
}

/** Milliseconds between two looks for a job that is due. */
const LOOK_EVERY_MS = 2_000

/** Runs jobs in the background of a server until it is closed; a job that is interrupted is due again at once. */
export function startKeyJobs(deps: KeyJobsDeps & { log: Log }): { close(): Promise<void> } {
  const closing = new AbortController()
  const { signal } = closing
  const jobs = createKeyJobs({ ...deps, signal })

  async function work(): Promise<void> {
    while (!signal.aborted) {
      let ran = false
      try {
        ran = await jobs.runDue()
      } catch (err) {
        deps.log.warn({ code: (err as { code?: unknown }).code }, 'a key job was stopped; it goes on in a moment')
      }
      if (!ran) await delay(LOOK_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined) // closing
    }
  }

  const running = work()
  return {
    async close() {
      closing.abort()
      await running
    },
  }
}
