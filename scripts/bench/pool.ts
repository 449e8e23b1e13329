// The pool part of the benchmark: many more integrations than connections, over brokers on loopback addresses, and then all
// brokers restarted at once. `node scripts/bench/pool.ts [--integrations N] [--brokers N] [--connections N]` prints it alone.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { runStep } from '../step.ts'
import { inParallel, prepareTargets, publishAt, type Target } from './pool/api.ts'
import { type FarmProcess, startFarmProcess } from './pool/farm-process.ts'
import { residentMiB, startProgram } from './process.ts'
import { describeMachine, median } from './report.ts'

export interface PoolOptions {
  readonly integrations: number
  readonly brokers: number
  readonly connections: number
}

export interface PoolResults extends PoolOptions {
  readonly date: string
  readonly machine: string
  readonly tenants: number
  readonly prepareS: number
  /** One publish on each integration in turn: almost every one takes the place of another connection. */
  readonly turns: {
    readonly publishes: number
    /** By outcome or error code. */
    readonly outcomes: Readonly<Record<string, number>>
    readonly seconds: number
    readonly logins: number
    readonly mostSessions: number
    readonly rssMiB: { readonly warm: number; readonly most: number; readonly last: number }
    /**
     * The least that V8 had in use in each quarter of the time, which is what is really needed; the rest of the resident memory
     * is garbage that was not worth collecting yet, buffers and libraries.
     */
    readonly leastHeapMiB: readonly number[]
    /** Of a line through the second half of the samples. */
    readonly rssBytesPerLogin: number | null
    readonly descriptors: { readonly warm: number; readonly most: number } | null
  }
  /** All brokers cut at once and back after `downS`, while their integrations publish. */
  readonly restart: {
    readonly inUse: number
    readonly downS: number
    readonly attempts: number
    readonly mostAttemptsInASecond: number
    readonly attemptsBySecond: readonly number[]
    /** From the moment the brokers are back until each integration has been acknowledged again. */
    readonly allBackS: number
    readonly outcomes: Readonly<Record<string, number>>
    readonly mostDescriptors: number | null
  }
}

const TENANTS = 20
const WORKERS = 16
const RESTART_WORKERS = 24
const DOWN_MS = 5_000
const DEADLINE_MS = 10_000
/** While brokers are down nobody waits for long: the next integration is to be asked. */
const RESTART_DEADLINE_MS = 1_000
const SAMPLE_MS = 1_000
/** G11: all are back by then. */
const BACK_BY_MS = 70_000

interface Sample {
  readonly rssMiB: number
  readonly heapMiB: number
  readonly descriptors: number | null
  readonly logins: number
  readonly sessions: number
}

async function descriptorsOf(pid: number): Promise<number | null> {
  if (process.platform !== 'linux') return null
  return (await fs.readdir(`/proc/${pid}/fd`)).length
}

async function heapMiBOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const found = /^nodejs_heap_size_used_bytes (\S+)$/m.exec(text)?.[1]
  if (found === undefined) throw new Error(`${url}/metrics does not say how much of the heap is used`)
  return Number(found) / 2 ** 20
}

function count(outcomes: Record<string, number>, outcome: string): void {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
}

/** Takes a sample every second until it is stopped. */
function startSampling(url: string, pid: number, farm: FarmProcess) {
  const samples: Sample[] = []
  const stopped = new AbortController()
  const loop = async () => {
    while (!stopped.signal.aborted) {
      const { logins, sessions } = await farm.ask('figures')
      const [heapMiB, descriptors] = [await heapMiBOf(url), await descriptorsOf(pid)]
      samples.push({ rssMiB: residentMiB(pid), heapMiB, descriptors, logins, sessions })
      await delay(SAMPLE_MS, undefined, { signal: stopped.signal }).catch(() => {})
    }
  }
  const running = loop()
  return {
    async stop(): Promise<readonly Sample[]> {
      stopped.abort()
      await running
      return samples
    },
  }
}

/** Slope of the line of least squares, in bytes for one login. */
function slopeOf(samples: readonly Sample[]): number | null {
  const mean = (of: (sample: Sample) => number) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length
  const [x, y] = [mean(({ logins }) => logins), mean(({ rssMiB }) => rssMiB)]
  const spread = mean(({ logins }) => (logins - x) ** 2)
  if (samples.length < 10 || spread === 0) return null
  return (mean(({ logins, rssMiB }) => (logins - x) * (rssMiB - y)) / spread) * 2 ** 20
}

function quarterOf<T>(all: readonly T[], index: number): readonly T[] {
  return all.slice(Math.floor((all.length * index) / 4), Math.max(1, Math.ceil((all.length * (index + 1)) / 4)))
}

const mostOf = (values: readonly (number | null)[]) =>
  values.some((value) => value === null) ? null : Math.max(...values.map(Number))

async function takeTurns(url: string, pid: number, farm: FarmProcess, targets: readonly Target[]) {
  const before = await farm.ask('figures')
  const sampling = startSampling(url, pid, farm)
  const outcomes: Record<string, number> = {}
  const startedMs = performance.now()
  await inParallel(targets, WORKERS, async (target) => count(outcomes, await publishAt(url, target, DEADLINE_MS)))
  const seconds = (performance.now() - startedMs) / 1000
  const samples = await sampling.stop()
  const after = await farm.ask('figures')
  const warm = samples.slice(Math.floor(samples.length / 2))
  const descriptors = samples.map((one) => one.descriptors)
  const warmDescriptors = warm.map((one) => one.descriptors ?? 0)
  const most = mostOf(descriptors)
  return {
    publishes: targets.length,
    outcomes,
    seconds,
    logins: after.logins - before.logins,
    mostSessions: Math.max(...samples.map(({ sessions }) => sessions)),
    rssMiB: {
      warm: median(warm.map(({ rssMiB }) => rssMiB)),
      most: Math.max(...samples.map(({ rssMiB }) => rssMiB)),
      last: samples.at(-1)?.rssMiB ?? 0,
    },
    leastHeapMiB: [0, 1, 2, 3].map((i) => Math.min(...quarterOf(samples, i).map(({ heapMiB }) => heapMiB))),
    rssBytesPerLogin: slopeOf(warm),
    descriptors: most === null ? null : { warm: median(warmDescriptors), most },
  }
}

/** Keeps publishing on `targets` in turns; every target whose message was acknowledged goes into `acknowledged`. */
function startUse(url: string, targets: readonly Target[], outcomes: Record<string, number>) {
  const acknowledged = new Set<Target>()
  let running = true
  function* turns() {
    while (running) yield* targets
  }
  const done = inParallel(turns(), RESTART_WORKERS, async (target) => {
    if (!running) return
    const outcome = await publishAt(url, target, RESTART_DEADLINE_MS)
    count(outcomes, outcome)
    if (outcome === 'acknowledged') acknowledged.add(target)
    else await delay(20)
  })
  return {
    acknowledged,
    async stop() {
      running = false
      await done
    },
  }
}

async function restart(url: string, pid: number, farm: FarmProcess, targets: readonly Target[]) {
  const outcomes: Record<string, number> = {}
  await inParallel(targets, WORKERS, async (target) => void (await publishAt(url, target, DEADLINE_MS)))
  const sampling = startSampling(url, pid, farm)
  const use = startUse(url, targets, outcomes)
  await farm.ask('down')
  await delay(DOWN_MS)
  use.acknowledged.clear()
  await farm.ask('up')
  const upMs = performance.now()
  while (use.acknowledged.size < targets.length && performance.now() - upMs < BACK_BY_MS) await delay(50)
  const allBackS = (performance.now() - upMs) / 1000
  if (use.acknowledged.size < targets.length)
    throw new Error(`${targets.length - use.acknowledged.size} of ${targets.length} were not back after ${allBackS} s`)
  await use.stop()
  const samples = await sampling.stop()
  const { arrivals, mostArrivalsInASecond, arrivalsBySecond } = await farm.ask('figures')
  return {
    inUse: targets.length,
    downS: DOWN_MS / 1000,
    attempts: arrivals,
    mostAttemptsInASecond: mostArrivalsInASecond,
    attemptsBySecond: arrivalsBySecond,
    allBackS,
    outcomes,
    mostDescriptors: mostOf(samples.map(({ descriptors }) => descriptors)),
  }
}

const whole = (value: number) => Math.round(value).toLocaleString('en')

/** Renders the results as the lines that stand in the README. */
export function renderPool(results: PoolResults): string {
  const { integrations, brokers, connections, turns, restart: again, date, machine } = results
  const errors = turns.publishes - (turns.outcomes['acknowledged'] ?? 0)
  const descriptors = turns.descriptors === null ? 'not known here' : `${turns.descriptors.most}`
  return [
    `| ${whole(integrations)} integrations, ${whole(brokers)} brokers, ${connections} connections | |`,
    '| --- | --- |',
    `| One publish on each in turn: errors | ${errors} of ${whole(turns.publishes)} |`,
    `| Logins, most sessions at once | ${whole(turns.logins)}, ${turns.mostSessions} |`,
    `| Resident memory: second half, most | ${whole(turns.rssMiB.warm)} MiB, ${whole(turns.rssMiB.most)} MiB |`,
    `| Open descriptors, most | ${descriptors} |`,
    `| All brokers restarted at once: attempts in the worst second | ${again.mostAttemptsInASecond} (of ${whole(again.attempts)}) |`,
    `| All ${whole(again.inUse)} integrations in use acknowledged again, after the brokers were back | ${again.allBackS.toFixed(1)} s |`,
    '',
    `Measured ${date.slice(0, 10)} with \`npm run bench -- pool\` on ${machine}.`,
  ].join('\n')
}

/** Says which promises do not hold: G10, G11, P17. Empty when all do. */
export function brokenPromises({ turns, restart: again, connections }: PoolResults): string[] {
  const acknowledged = turns.outcomes['acknowledged'] ?? 0
  const promises: readonly [kept: boolean, text: string][] = [
    [acknowledged === turns.publishes, `${turns.publishes - acknowledged} errors while taking turns`],
    [turns.mostSessions <= connections, `${turns.mostSessions} sessions at once`],
    [turns.rssMiB.most <= 400, `${Math.round(turns.rssMiB.most)} MiB resident`],
    [Math.max(turns.descriptors?.most ?? 0, again.mostDescriptors ?? 0) <= connections + 100, 'too many descriptors'],
    [again.mostAttemptsInASecond < 50, `${again.mostAttemptsInASecond} attempts in a second`],
    [again.allBackS <= BACK_BY_MS / 1000, `all back after ${again.allBackS} s`],
  ]
  return promises.flatMap(([kept, text]) => (kept ? [] : [text]))
}

/** Starts a server and brokers of this repository, measures, and stops them. */
export async function benchPool(options: PoolOptions): Promise<PoolResults> {
  const { integrations, brokers, connections } = options
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-pool-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const env = {
    DATA_DIR: path.join(scratch, 'data'),
    DATABASE_URL: '',
    HOST: '127.0.0.1',
    PORT: '0',
    OUTBOUND_ALLOW: '127.0.0.0/8',
    POOL_MAX_CONNECTIONS: String(connections),
    LOG_FORMAT: 'json',
  }
  const [farm, server] = await runStep('Start', async () => {
    const one = stack.adopt(await startFarmProcess(brokers), (process) => process.stop())
    return [one, stack.adopt(await startProgram('src/main.ts', env), (running) => running.stop())] as const
  })
  const tenants = Math.min(TENANTS, integrations)
  const startedMs = performance.now()
  const targets = await runStep(`Prepare ${integrations} integrations`, () =>
    prepareTargets(server.url, env, { integrations, brokers, tenants, port: farm.port }),
  )
  const prepareS = (performance.now() - startedMs) / 1000
  const turns = await runStep('Turns', () => takeTurns(server.url, server.pid, farm, targets))
  const inUse = targets.slice(-Math.min(connections, integrations))
  const again = await runStep('Restart', () => restart(server.url, server.pid, farm, inUse))
  const measured = { date: new Date().toISOString(), machine: describeMachine(), tenants, prepareS }
  return { ...options, ...measured, turns, restart: again }
}

/** Measures, and says what stands in the README and which promises do not hold. */
export async function measurePool(
  options: PoolOptions,
): Promise<{ results: PoolResults; text: string; remarks: string }> {
  const results = await benchPool(options)
  const broken = brokenPromises(results)
  const remarks = broken.length === 0 ? 'Everything as promised.' : `Not as promised: ${broken.join('; ')}.`
  return { results, text: renderPool(results), remarks }
}

/** How to say it on the command line. */
export const poolFlags = {
  integrations: { type: 'string', default: '10000' },
  brokers: { type: 'string', default: '500' },
  connections: { type: 'string', default: '500' },
} as const

/** @throws {RangeError} naming what is no number from 1 */
export function parsePoolOptions(values: Readonly<Record<keyof PoolOptions, string>>): PoolOptions {
  const numberOf = (name: keyof PoolOptions) => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} takes a whole number from 1`)
    return value
  }
  return {
    integrations: numberOf('integrations'),
    brokers: numberOf('brokers'),
    connections: numberOf('connections'),
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: poolFlags })
  const { results, text, remarks } = await measurePool(parsePoolOptions(values))
  console.log(JSON.stringify(results, null, 2))
  console.log(`\n${text}\n\n${remarks}`)
}
