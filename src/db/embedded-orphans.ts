import { readFileSync, realpathSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { commandContains, processesIn } from './process-identity.ts'

const FAST_MS = 10_000
const IMMEDIATE_MS = 5_000

/** What `postmaster.pid` says, which survives its server when that was killed: lines 1 and 5. */
function readPidFile(data: string): { pid: number; socketFolder: string } | undefined {
  try {
    const lines = readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')
    const pid = Number(lines[0])
    return pid > 1 ? { pid, socketFolder: lines[4] ?? '' } : undefined
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
}

export function postmasterOf(data: string): number | undefined {
  return readPidFile(data)?.pid
}

/** Sends a signal; a process that has ended meanwhile is what we wanted. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err
  }
}

/**
 * Ends what a dead owner left running in `data`, returns the socket folder that it had, and removes a `postmaster.pid` that nobody stands behind: PostgreSQL would
 * refuse to start if its number had gone to another process. Call it as the owner of the folder only.
 *
 * @throws {Error} when it does not end
 */
export async function stopOrphans(data: string): Promise<string | undefined> {
  const folder = realpathSync(data)
  const { pid: postmaster, socketFolder } = readPidFile(data) ?? {}
  const orphans = () => {
    const ours = postmaster !== undefined && commandContains(postmaster, data) ? [postmaster] : []
    return [...new Set([...ours, ...(processesIn(folder) ?? [])])]
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
  // Where leftovers cannot be seen the file stays: PostgreSQL looks for them with what it says.
  if (processesIn(folder)) rmSync(path.join(data, 'postmaster.pid'), { force: true })
  return socketFolder || undefined
}
