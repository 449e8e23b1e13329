// `node scripts/bench/inspection.ts`: scans of payloads a second on one core with all four classes of attacks on, and how
// the time grows with the payload. Prints a table; `npm run bench` takes the numbers from `benchInspection`.
import { createGuards, type Guards } from '#src/guards/create-guards.ts'
import { parseGuards } from '#src/guards/parse-guards.ts'
import { inspectionPayloads, nearMisses } from './inspection-payloads.ts'
import { describeMachine, median } from './report.ts'

const KIB = 1_024
const ROUNDS = 9
/** Processor time of one round. */
const ROUND_MS = 60

export interface InspectionResults {
  readonly machine: string
  /** Of 1 KiB, median of the rounds. */
  readonly rates: readonly { readonly payload: string; readonly scansPerS: number }[]
  /** Of payloads that nearly match and so cost the most, the quickest of the rounds. */
  readonly growth: readonly {
    readonly payload: string
    readonly ms64KiB: number
    readonly ms1MiB: number
    readonly ratio: number
  }[]
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

/** Milliseconds of one scan, in each round. */
function measure(guards: Guards, payload: Uint8Array): number[] {
  const message = { topic: 'bench', payload, qos: 0, retain: false } as const
  const scan = () => guards.checkPublish(message, {})
  const began = processorMs()
  scan() // makes what is made once
  scan()
  const times = Math.max(1, Math.ceil((2 * ROUND_MS) / Math.max(processorMs() - began, 0.001)))
  for (let i = 0; i < times; i++) scan() // warm
  return Array.from({ length: ROUNDS }, () => {
    const from = processorMs()
    let scans = 0
    while (scans < times || processorMs() - from < ROUND_MS) {
      scan()
      scans++
      if (scans >= times && processorMs() - from >= ROUND_MS) break
    }
    return (processorMs() - from) / scans
  })
}

/** Measures the inspection in this process. */
export async function benchInspection(): Promise<InspectionResults> {
  const guards = createInspection()
  const rates = inspectionPayloads(KIB).map(({ name, payload }) => ({
    payload: name,
    scansPerS: 1_000 / median(measure(guards, payload)),
  }))
  const large = new Map(nearMisses(1_024 * KIB).map(({ name, payload }) => [name, payload]))
  const growth = nearMisses(64 * KIB).map(({ name, payload }) => {
    const ms64KiB = Math.min(...measure(guards, payload))
    const ms1MiB = Math.min(...measure(guards, large.get(name) ?? payload))
    return { payload: name, ms64KiB, ms1MiB, ratio: ms1MiB / ms64KiB }
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
