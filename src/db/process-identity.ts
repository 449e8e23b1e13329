import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** One process, told apart from a later one with the same number by when it started. */
export interface ProcessIdentity {
  pid: number
  /** Linux: boot id and clock ticks since boot; elsewhere what `ps` says. Compare for equality only. */
  started: string
}

const LINUX = process.platform === 'linux'

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // it ended meanwhile, or is hidden from us
  }
}

function ps(pid: number, column: string): string | undefined {
  try {
    const out = execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8', stdio: 'pipe' })
    return out.trim() || undefined
  } catch {
    return undefined // `ps` exits 1 for a process that is not there
  }
}

/** Start of a process, `undefined` when it is not running. A zombie is not running. */
function startOf(pid: number): string | undefined {
  if (!LINUX) return ps(pid, 'lstart')
  // Fields of proc_pid_stat(5) behind the name, which may itself contain blanks and brackets: 3 is the state, 22 the start.
  const fields = readIfThere(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined
  return `${readIfThere('/proc/sys/kernel/random/boot_id')?.trim() ?? ''}/${fields[19] ?? ''}`
}

/** `undefined` when no such process runs. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const started = startOf(pid)
  return started === undefined ? undefined : { pid, started }
}

/** Reports whether that very process still runs. */
export function isRunning({ pid, started }: ProcessIdentity): boolean {
  return startOf(pid) === started
}

/** Reports whether a process with this number runs and its command line contains `text`. */
export function commandContains(pid: number, text: string): boolean {
  if (startOf(pid) === undefined) return false
  const command = LINUX ? readIfThere(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') : ps(pid, 'command')
  return command?.includes(text) ?? false
}

/** Processes whose working folder is `directory`, as it is for every process of a PostgreSQL; `undefined` where nobody can say. */
export function processesIn(directory: string): number[] | undefined {
  if (!LINUX) return undefined
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === directory
      } catch {
        return false // ended meanwhile, or another account's
      }
    })
}
