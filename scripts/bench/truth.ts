// The truth part of the benchmark: publishes at QoS 1 through a whole server to a broker with a log of its own, over links that
// are cut at random; every answer is held against that log. `node scripts/bench/truth.ts [--publishes N] [--seed N]`
// prints it alone.
import fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { Sealwire, SealwireError, UnprotectedError } from '#src/sdk/index.ts'
import { startFaultProxy } from '#test/support/fault-proxy.ts'
import { createRandom, planCut } from '#test/support/random-cuts.ts'
import { runStep } from '../step.ts'
import { startProgram } from './process.ts'
import { describeMachine } from './report.ts'
import { startTruthBroker } from './truth-broker.ts'
import { isStrange, judgeTruth, type Said, type Verdict } from './truth-verdict.ts'

export interface TruthOptions {
  readonly publishes: number
  readonly seed: number
}

export interface TruthResults extends Verdict {
  readonly date: string
  readonly machine: string
  readonly publishes: number
  readonly seed: number
  readonly seconds: number
  readonly deadlineMs: number
  readonly limitMs: number
  /** To the broker, and how many of them were cut. */
  readonly connections: number
  readonly cuts: number
  /** The longest that client, proxy and broker, which are one process, stood still: a part of what an answer took. */
  readonly ownStallMs: number
}

const DEADLINE_MS = 1_000
/** What an answer may take beyond its deadline. */
const GRACE_MS = 250
/** A broker that was cut off is left alone for a while, so the load is spread. */
const INTEGRATIONS = 64
const IN_FLIGHT = 32
/** A connection is cut after up to so many bytes: some eighty publishes, or their acknowledgements. */
const CUT_WITHIN = { up: 16_000, down: 320 }
const PROGRESS_EVERY = 5_000

/** An owner's client that opens its answers itself, and integrations that all lead to one port. */
async function prepare(baseUrl: string, dataDir: string, port: number) {
  const apiKey = (await fs.readFile(path.join(dataDir, 'owner-api-key'), 'utf8')).trim()
  const options = { baseUrl, apiKey, provider: opensslProvider, maxRetries: 0, timeoutMs: 30_000 }
  const owner = new Sealwire(options)
  const recipient = await owner.recipients.enroll({ name: 'truth' })
  const values = { hostname: '127.0.0.1', port }
  const { id: credentialId } = await owner.vault.seal({ credentialType: 'custom_kv', values })
  const integrations: string[] = []
  for (let i = 0; i < INTEGRATIONS; i++) {
    const members = { name: `truth ${i}`, systemType: 'mqtt', credentialId } as const
    const config = { topic: 'truth', qos: 1, keepaliveS: 5 } as const
    const { id } = await owner.integrations.create({ ...members, allowedOperations: ['publish'], config })
    integrations.push(id)
  }
  return { client: new Sealwire({ ...options, recipient }), integrations }
}

async function publishOne(client: Sealwire, integrationId: string, number: string): Promise<Said> {
  const startedMs = performance.now()
  const said = (end: string, outcome: Said['outcome'], messageId: unknown, reasonCode: unknown): Said => ({
    number,
    end,
    outcome,
    messageId: typeof messageId === 'string' ? messageId : undefined,
    reasonCode: typeof reasonCode === 'number' ? reasonCode : undefined,
    ms: performance.now() - startedMs,
  })
  try {
    const { result } = await client.proxy.publish({ integrationId, message: number })
    return said(result.outcome, result.outcome === 'acknowledged' ? 'acknowledged' : 'unknown', result.messageId, null)
  } catch (err) {
    if (!(err instanceof SealwireError)) throw err
    if (err instanceof UnprotectedError) return said(`bare ${err.claim.code}`, err.outcome, undefined, undefined)
    return said(err.code, err.outcome, err.details?.['message_id'], err.details?.['reason_code'])
  }
}

/** Publishes the numbers from 0 on, so many at a time, and says how far it is. */
async function publishAll(client: Sealwire, integrations: readonly string[], publishes: number): Promise<Said[]> {
  const answers: Said[] = []
  let next = 0
  const work = async () => {
    while (next < publishes) {
      const number = next++
      answers.push(await publishOne(client, integrations[number % integrations.length] as string, String(number)))
      if (answers.length % PROGRESS_EVERY === 0) process.stderr.write(` ${answers.length}`)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, work))
  return answers
}

/**
 * Runs it, and gives the results with the lines that stand in the README.
 *
 * @throws {Error} when answers were lost, or nothing was cut: such a run proves nothing
 */
export async function benchTruth({
  publishes,
  seed,
}: TruthOptions): Promise<{ results: TruthResults; text: string; remarks: string }> {
  if (!Number.isInteger(publishes) || publishes < 1) throw new Error('--publishes takes a whole number from 1')
  await using stack = new AsyncDisposableStack()
  const scratch = await fs.mkdtemp(path.join(tmpdir(), 'sealwire-truth-'))
  stack.defer(() => fs.rm(scratch, { recursive: true, force: true }))
  const random = createRandom(seed)
  const habits = { random: createRandom(seed + 1), refused: 0.01, delayed: 0.02, delayMs: 1.5 * DEADLINE_MS }
  const broker = stack.adopt(await startTruthBroker(habits), (one) => one.stop())
  const proxy = stack.adopt(
    await startFaultProxy({ toPort: broker.port, plan: () => planCut(random, CUT_WITHIN) }),
    (one) => one.stop(),
  )
  const dataDir = path.join(scratch, 'data')
  const place = { DATA_DIR: dataDir, DATABASE_URL: '', HOST: '127.0.0.1', PORT: '0', OUTBOUND_ALLOW: '127.0.0.0/8' }
  const limits = { RATE_LIMIT_KEY: '1000000', RATE_LIMIT_TENANT: '1000000' } // one key does what a hundred would
  const deadline = { REQUEST_DEADLINE_MS: String(DEADLINE_MS) }
  const settings = { ...place, ...limits, ...deadline, LOG_LEVEL: 'info', LOG_FORMAT: 'json' }
  const server = stack.adopt(await runStep('Start', () => startProgram('src/main.ts', settings)), (one) => one.stop())
  const { client, integrations } = await prepare(server.url, dataDir, proxy.port)

  const stalls = monitorEventLoopDelay({ resolution: 10 })
  stalls.enable()
  const startedMs = performance.now()
  const answers = await runStep(`${publishes} publishes`, () => publishAll(client, integrations, publishes))
  const seconds = (performance.now() - startedMs) / 1000
  stalls.disable()
  const strange = answers.filter(isStrange)
  if (strange.length > 0) {
    const words = new Set(strange.map(({ end }) => end))
    throw new Error(`${strange.length} answers say nothing: ${[...words].join(', ')}`)
  }
  const limitMs = DEADLINE_MS + GRACE_MS
  const run = { publishes, seed, seconds, deadlineMs: DEADLINE_MS, limitMs }
  const faults = {
    connections: broker.connections,
    cuts: proxy.up.cuts + proxy.down.cuts,
    ownStallMs: stalls.max / 1e6,
  }
  if (faults.cuts === 0) throw new Error('no connection was cut: take more publishes')
  const verdict = judgeTruth(answers, broker, limitMs)
  const about = { date: new Date().toISOString(), machine: describeMachine() }
  const results: TruthResults = { ...about, ...run, ...faults, ...verdict }
  return {
    results,
    text: renderTruth(results),
    remarks: missesOf(results).join('\n') || 'Every answer was true, and in time.',
  }
}

/** What misses what was promised. */
function missesOf({ publishes, ...counts }: TruthResults): string[] {
  const lies = (['falseAcknowledged', 'falseRejected', 'duplicates', 'wrongMessageIds'] as const).filter(
    (name) => counts[name] > 0,
  )
  const late = publishes - counts.inTime
  const lateness = `${late} ended too late; the client itself stood still for up to ${whole(counts.ownStallMs)} ms`
  return [...lies.map((name) => `${name}: ${counts[name]}`), ...(late > 0 ? [lateness] : [])]
}

const whole = (value: number) => Math.round(value).toLocaleString('en')

/** Renders the results as the lines that stand in the README. */
export function renderTruth(results: TruthResults): string {
  const { ends, unknown, publishes, seconds, connections, cuts, deadlineMs, limitMs } = results
  const acknowledged = ends['acknowledged'] ?? 0
  const unknowns = unknown.acknowledged + unknown.seen + unknown.unseen
  const rows: readonly (readonly [what: string, count: number])[] = [
    ['acknowledged', acknowledged],
    ['… of these without an acknowledgement in the log', results.falseAcknowledged],
    ['nothing was sent, or refused by the broker', publishes - acknowledged - unknowns],
    ['… of these otherwise in the log', results.falseRejected],
    ['unknown', unknowns],
    ['… of these acknowledged in the log, and nobody heard of it', unknown.acknowledged],
    ['… of these seen by the broker, not acknowledged', unknown.seen],
    ['… of these never seen', unknown.unseen],
    ['seen twice by the broker, or under another message id', results.duplicates + results.wrongMessageIds],
    [`ended within ${whole(limitMs)} ms`, results.inTime],
  ]
  return [
    `${whole(publishes)} publishes at QoS 1 with a deadline of ${whole(deadlineMs)} ms, over ${whole(connections)} connections of which ${whole(cuts)} were cut at a random byte (closed, reset or silenced, either way); every answer against the log of the broker. ${whole(publishes / seconds)} publishes a second; the slowest answer took ${whole(results.slowestMs)} ms.`,
    '',
    '| the server answered | publishes |',
    '| --- | --- |',
    ...rows.map(([what, count]) => `| ${what} | ${whole(count)} |`),
    '',
    `Measured ${results.date.slice(0, 10)} with \`npm run bench -- truth\` on ${results.machine}, seed ${results.seed}.`,
  ].join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { publishes: { type: 'string', default: '5000' }, seed: { type: 'string', default: '1' } },
  })
  const { results, text, remarks } = await benchTruth({
    publishes: Number(values.publishes),
    seed: Number(values.seed),
  })
  console.log(`${text}\n\n${JSON.stringify(results, null, 2)}\n\n${remarks}`)
}
