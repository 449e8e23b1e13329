// `npm run bench [-- PART…] [-- --rounds N] [-- --seconds N] [-- --publishes N]`, where a part is `start`, `signing`,
// `envelope`, `batch`, `policy`, `fairness`, `hooks`, `pool` or `truth`; all without one. `hooks` takes [--samples N], too.
// Prints tables, writes bench-results.json and the figures of the README.
import fs from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { benchBatch } from './batch.ts'
import { benchEnvelope } from './envelope.ts'
import { benchFairness } from './fairness/fairness.ts'
import { renderFairness, renderPromises } from './fairness/render.ts'
import { benchHooks } from './hooks/hooks.ts'
import { renderHookPromises, renderHooks } from './hooks/render.ts'
import { benchInspection, renderInspection } from './inspection.ts'
import { benchPolicy } from './policy/policy.ts'
import { renderBudgets, renderPolicy } from './policy/render.ts'
import { measurePool, parsePoolOptions, poolFlags } from './pool.ts'
import { describeMachine, replaceBetweenMarkers } from './report.ts'
import { renderSigning, renderTargets } from './signing/render.ts'
import { benchSigning } from './signing/signing.ts'
import { benchStart, renderStart } from './start.ts'
import { benchTruth } from './truth.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    publishes: { type: 'string', default: '100000' },
    samples: { type: 'string', default: '200' },
    ...poolFlags,
  },
})
/** As told, or as a part does it by itself. */
const optionsOr = (rounds: number, seconds: number) => ({
  rounds: Number(values.rounds ?? rounds),
  seconds: Number(values.seconds ?? seconds),
})
const options = optionsOr(3, 5)
if (!(options.rounds >= 1) || !(options.seconds >= 1))
  throw new Error('--rounds and --seconds take whole numbers from 1')

interface Measured {
  results: object
  /** The lines that stand in the README. */
  text: string
  /** Lines for whoever works on it. */
  remarks?: string
}

async function start(): Promise<Measured> {
  const results = await benchStart()
  return { results, text: renderStart(results) }
}

async function signing(): Promise<Measured> {
  const date = new Date().toISOString()
  const figures = await benchSigning(options)
  const machine = describeMachine()
  const measured = `Measured ${date.slice(0, 10)} with \`npm run bench -- signing\` on ${machine}.`
  return {
    results: { date, machine, ...figures },
    remarks: renderTargets(figures),
    text: [renderSigning(figures), '', measured].join('\n'),
  }
}

async function policy(): Promise<Measured> {
  const date = new Date().toISOString()
  const decisions = await benchPolicy()
  const inspection = await benchInspection()
  const machine = describeMachine()
  const measured = `Measured ${date.slice(0, 10)} with \`npm run bench -- policy\` on ${machine}.`
  return {
    results: { date, machine, decisions, inspection },
    remarks: renderBudgets(decisions),
    text: [renderPolicy(decisions), '', renderInspection(inspection), '', measured].join('\n'),
  }
}

async function fairness(): Promise<Measured> {
  const date = new Date().toISOString()
  const figures = await benchFairness(optionsOr(7, 2.5))
  const machine = describeMachine()
  const measured = `Measured ${date.slice(0, 10)} with \`npm run bench -- fairness\` on ${machine}.`
  return {
    results: { date, machine, ...figures },
    remarks: renderPromises(figures),
    text: [renderFairness(figures), '', measured].join('\n'),
  }
}

async function hooks(): Promise<Measured> {
  const date = new Date().toISOString()
  const figures = await benchHooks({ ...options, samples: Math.max(2, Number(values.samples)) })
  const machine = describeMachine()
  const measured = `Measured ${date.slice(0, 10)} with \`npm run bench -- hooks\` on ${machine}.`
  return {
    results: { date, machine, ...figures },
    remarks: renderHookPromises(figures),
    text: [renderHooks(figures), '', measured].join('\n'),
  }
}

const parts: Readonly<Record<string, () => Promise<Measured>>> = {
  start,
  signing,
  envelope: benchEnvelope,
  batch: () => benchBatch(options),
  policy,
  fairness,
  hooks,
  pool: () => measurePool(parsePoolOptions(values)),
  truth: () => benchTruth({ publishes: Number(values.publishes), seed: 1 }),
}

async function readResults(file: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await fs.readFile(file, 'utf8')) as Record<string, unknown>
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return {} // the first run
    throw err
  }
}

const unknown = positionals.filter((name) => parts[name] === undefined)
if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: parts are ${Object.keys(parts).join(' and ')}`)
for (const name of positionals.length > 0 ? positionals : Object.keys(parts)) {
  const measured = await parts[name]?.()
  if (!measured) continue
  const [readme, results] = [path.join(root, 'README.md'), path.join(root, 'bench-results.json')]
  const all = { ...(await readResults(results)), [name]: measured.results }
  await fs.writeFile(results, `${JSON.stringify(all, null, 2)}\n`)
  await fs.writeFile(readme, replaceBetweenMarkers(await fs.readFile(readme, 'utf8'), name, measured.text))
  console.log(`\n${measured.text}\n`)
  if (measured.remarks !== undefined) console.log(`${measured.remarks}\n`)
}
