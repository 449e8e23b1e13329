import { readFileSync, realpathSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { commandContains, processesIn } from './process-identity.ts'

const FAST_MS = 10_000
const IMMEDIATE_MS = 5_000

/** The first line of `postmaster.pid`, which survives its server when that was killed. */
export function postmasterOf(data: string): number | undefined {
  try {
    const pid = Number(readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0])
    return pid > 1 ? pid : undefined
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
}

/** Sends a signal; a process that has ended meanwhile is what we wanted. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err
  }
}

/**
 * Ends what a dead owner left running in `data`, and removes a `postmaster.pid` that nobody stands behind: PostgreSQL would
 * refuse to start if its number had gone to another process. Call it as the owner of the folder only.
 *
 * @throws {Error} when it does not end
 */
export async function stopOrphans(data: string): Promise<void> {
  const folder = realpathSync(data)
  const postmaster = postmasterOf(data)
  const orphans = () => {
    const ours = postmaster !== undefined && commandContains(postmaster, data) ? [postmaster] : []
    return [...new Set([...ours, ...processesIn(folder)])]
  }
  for (const { name, waitMs } of [
    { name: 'SIGINT', waitMs: FAST_MS },
    { name: 'SIGQUIT', waitMs: IMMEDIATE_MS },
  ] as const) {
    if (orphans().length === 0) break
    // Its children end with the postmaster; without one they are leftovers that must not write any more.
    for (const pid of postmaster && orphans().includes(postmaster) ? [postmaster] : orphans()) signal(pid, name)
    for (const end = Date.now() + waitMs; orphans().length > 0 && Date.now() < end; ) await delay(10)
  }
  const left = orphans()
  if (left.length > 0) throw new Error(`A PostgreSQL of ${data} does not end: processes ${left.join(', ')}.`)
  rmSync(path.join(data, 'postmaster.pid'), { force: true })
}
