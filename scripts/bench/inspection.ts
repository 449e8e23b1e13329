// `node scripts/bench/inspection.ts`: scans of payloads a second on one core with all four classes of attacks on, and how
// the time grows with the payload. Prints a table; `npm run bench` takes the numbers from `benchInspection`.
import { createGuards, type Guards } from '#src/guards/create-guards.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { inspectionPayloads, nearMisses } from './inspection-payloads.ts'
import { describeMachine, median } from './report.ts'

const KIB = 1_024
const RATE_ROUNDS = 15
const GROWTH_ROUNDS = 20
/** Scans of one round. */
const SCANS = 2_000

export interface Growth {
  readonly payload: string
  readonly ms64KiB: number
  readonly ms1MiB: number
  /** Of the two in the same round. */
  readonly ratio: number
}

/** Medians of the rounds. */
export interface InspectionResults {
  readonly machine: string
  /** Of 1 KiB. */
  readonly rates: readonly { readonly payload: string; readonly scansPerS: number }[]
  /** Of payloads that nearly match and so cost the most. */
  readonly growth: readonly Growth[]
}

function createInspection(): Guards {
  const patterns = { sqli: true, 'command-injection': true, 'script-injection': true, 'path-traversal': true }
  const document = { inspection: { enabled: true, 'max-payload-size': 0, patterns } }
  const { guards, problems } = parseGuards(document, { source: 'integration' })
  if (!guards) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  return createGuards(guards, { clock: { monotonic: () => performance.now() } })
}

/** Processor time of the process in milliseconds: what another process takes meanwhile does not count. */
function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Milliseconds of one scan, over a number of them. */
function scanMs(guards: Guards, payload: Uint8Array, scans: number): number {
  const message = { topic: 'bench', payload, qos: 0, retain: false } as const
  const began = processorMs()
  for (let i = 0; i < scans; i++) guards.checkPublish(message, {})
  return (processorMs() - began) / scans
}

function measureRate(guards: Guards, payload: Uint8Array): number {
  scanMs(guards, payload, SCANS) // warm
  return 1_000 / median(Array.from({ length: RATE_ROUNDS }, () => scanMs(guards, payload, SCANS)))
}

/** Both in turns and over as many bytes, so that what else the machine does meets both alike. */
function measureGrowth(guards: Guards, small: Uint8Array, large: Uint8Array): Omit<Growth, 'payload'> {
  const rounds = Array.from({ length: GROWTH_ROUNDS }, () => {
    const ms64KiB = scanMs(guards, small, large.length / small.length)
    return { ms64KiB, ms1MiB: scanMs(guards, large, 1) }
  })
  return {
    ms64KiB: median(rounds.map((round) => round.ms64KiB)),
    ms1MiB: median(rounds.map((round) => round.ms1MiB)),
    ratio: median(rounds.map((round) => round.ms1MiB / round.ms64KiB)),
  }
}

/** Measures the inspection in this process. */
export async function benchInspection(): Promise<InspectionResults> {
  const guards = createInspection()
  const rates = inspectionPayloads(KIB).map(({ name, payload }) => ({
    payload: name,
    scansPerS: measureRate(guards, payload),
  }))
  const larger = nearMisses(1_024 * KIB)
  const growth = nearMisses(64 * KIB).map(({ name, payload }, i) => {
    const large = larger[i]
    if (large?.name !== name) throw new Error(`two sizes of ${name} were expected`)
    return { payload: name, ...measureGrowth(guards, payload, large.payload) }
  })
  return { machine: describeMachine(), rates, growth }
}

/** Renders the results as the lines that are printed. */
export function renderInspection({ machine, rates, growth }: InspectionResults): string {
  return [
    '| 1 KiB of | scans a second on one core |',
    '| --- | --- |',
    ...rates.map(({ payload, scansPerS }) => `| ${payload} | ${Math.round(scansPerS).toLocaleString('en')} |`),
    '',
    '| nearly matching | 64 KiB | 1 MiB | ratio |',
    '| --- | --- | --- | --- |',
    ...growth.map(
      ({ payload, ms64KiB, ms1MiB, ratio }) =>
        `| ${payload} | ${ms64KiB.toFixed(2)} ms | ${ms1MiB.toFixed(1)} ms | ${ratio.toFixed(1)} |`,
    ),
    '',
    machine,
  ].join('\n')
}

if (import.meta.main) console.log(renderInspection(await benchInspection()))
