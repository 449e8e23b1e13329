// The start part of the benchmark: how long a start takes, and the memory of a server that idles.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runStep } from '../step.ts'
import { descendantsMiB, type Running, residentMiB, startProgram } from './process.ts'
import { describeMachine, median } from './report.ts'

const STARTS = 5
const IDLE_MS = 3_000

export interface StartResults {
  readonly date: string
  readonly machine: string
  /** The first one makes database and keys. */
  readonly firstStartMs: number
  /** Median of the others. */
  readonly startMs: number
  readonly serverMiB: number
  /** Of its own PostgreSQL; `null` where the system does not say. */
  readonly postgresMiB: number | null
}

function startServer(dataDir: string): Promise<Running> {
  const settings = { DATA_DIR: dataDir, PORT: '0', HOST: '127.0.0.1', DATABASE_URL: '' }
  return startProgram('src/main.ts', { ...settings, LOG_LEVEL: 'info', LOG_FORMAT: 'json' })
}

async function measureStarts(dataDir: string) {
  const first = await startServer(dataDir)
  await first.stop()
  const starts: number[] = []
  for (let i = 1; i < STARTS; i++) {
    const server = await startServer(dataDir)
    starts.push(server.startMs)
    await server.stop()
  }
  const server = await startServer(dataDir)
  starts.push(server.startMs)
  await delay(IDLE_MS)
  const [serverMiB, postgresMiB] = [residentMiB(server.pid), descendantsMiB(server.pid) ?? null]
  await server.stop()
  return { firstStartMs: first.startMs, startMs: median(starts), serverMiB, postgresMiB }
}

const whole = (value: number) => Math.round(value).toLocaleString('en')

/** Renders the results as the lines that stand in the README. */
export function renderStart({ date, machine, firstStartMs, startMs, serverMiB, postgresMiB }: StartResults): string {
  const database = postgresMiB === null ? '' : `, and its own PostgreSQL ${whole(postgresMiB)} MiB`
  return [
    `The server listens after ${whole(startMs)} ms (${whole(firstStartMs)} ms on its first start, which makes database and keys) and takes ${whole(serverMiB)} MiB when idle${database}.`,
    '',
    `Measured ${date.slice(0, 10)} with \`npm run bench -- start\` on ${machine}.`,
  ].join('\n')
}

/** Starts servers of this repository and stops them. */
export async function benchStart(): Promise<StartResults> {
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-bench-'))
  try {
    const starts = await runStep('Starts and idle memory', () => measureStarts(path.join(scratch, 'data')))
    return { date: new Date().toISOString(), machine: describeMachine(), ...starts }
  } finally {
    await fs.rm(scratch, { recursive: true, force: true })
  }
}
