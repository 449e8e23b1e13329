import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface Running {
  url: string
  pid: number
  /** From the start of the process until it listens. */
  startMs: number
  stop(): Promise<void>
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts a program of this repository and waits until a line of its log says that it listens, and where. */
export async function startProgram(
  file: string,
  env: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<Running> {
  const startedMs = performance.now()
  const cache = { NODE_COMPILE_CACHE: `${root}.cache/compile` }
  const child = spawn(process.execPath, [...flags, file], {
    cwd: root,
    env: { ...process.env, ...cache, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'exit')
  const lines: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        lines.push(line)
        if (line.includes('"listening"')) resolve((JSON.parse(line) as { url: string }).url)
      })
    }
    void exited.then(() => reject(new Error(`${file} ended:\n${lines.join('\n')}`)))
  })
  return {
    url,
    pid: child.pid ?? 0,
    startMs: performance.now() - startedMs,
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024
}

/** Ticks of the processor clock in a second, on every Linux that Node runs on. */
const TICKS = 100

/** Seconds of processor time that a process has had, on all its threads; `null` where the system does not say. */
export function processorSeconds(pid: number): number | null {
  if (process.platform !== 'linux') return null
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

/** Memory of all processes below one in MiB, what they share counted once; `undefined` where the system does not say. */
export function descendantsMiB(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const parents = execFileSync('ps', ['-e', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  const below = (parent: number): number[] =>
    parents.flatMap(([child = 0, ppid]) => (ppid === parent ? [child, ...below(child)] : []))
  const sizes = below(pid).map(
    (child) => /^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${child}/smaps_rollup`, 'utf8'))?.[1],
  )
  return sizes.reduce((sum, size) => sum + Number(size ?? 0), 0) / 1024
}
