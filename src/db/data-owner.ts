import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts'

const FILE = /^owner\.(\d+)$/

function generations(directory: string): number[] {
  return readdirSync(directory)
    .map((name) => Number(FILE.exec(name)?.[1] ?? 0))
    .filter((generation) => generation > 0)
    .sort((a, b) => b - a)
}

interface Owner extends ProcessIdentity {
  /** When it became the owner, RFC 3339. */
  since: string
}

/** Whom a lock file names; `undefined` when it was given up or taken over meanwhile. */
function ownerOf(file: string): Owner | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw err
  }
  const [pid, started, since] = text.split('\n')
  return pid && started && since ? { pid: Number(pid), started, since } : undefined
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw err
  }
}

/** Another process, which runs, owns the folder; the message names it. */
export class DirectoryOwned extends Error {}

/**
 * Makes this process the only owner of `directory` and returns how to give it up. The owner is whoever the highest
 * `owner.<generation>` names. A successor creates the next generation, which only one can, and only the owner of a higher
 * one removes lower ones; so two processes that find the same dead owner never both win.
 *
 * @throws {DirectoryOwned} while the owner runs
 */
export function ownDirectory(directory: string): { release(): void } {
  const draft = path.join(directory, `owner-${process.pid}-${Math.random().toString(36).slice(2)}`)
  const started = identityOf(process.pid)?.started
  if (started === undefined) throw new Error('The start time of a process cannot be read: /proc or ps is missing.')
  writeFileSync(draft, `${process.pid}\n${started}\n${new Date().toISOString()}\n`, { mode: 0o600, flush: true })
  try {
    for (;;) {
      const newest = generations(directory)[0] ?? 0
      const file = (generation: number) => path.join(directory, `owner.${generation}`)
      const owner = ownerOf(file(newest))
      if (owner && isRunning(owner)) {
        throw new DirectoryOwned(
          `${directory} belongs to process ${owner.pid} since ${owner.since}. Stop that one first.`,
        )
      }
      if (!tryLink(draft, file(newest + 1))) continue
      const all = generations(directory)
      if (all[0] !== newest + 1) {
        // Others took and left it while we looked at an old listing.
        rmSync(file(newest + 1), { force: true })
        continue
      }
      for (const old of all.slice(1)) rmSync(file(old), { force: true })
      return { release: () => writeFileSync(file(newest + 1), '') }
    }
  } finally {
    rmSync(draft, { force: true })
  }
}
