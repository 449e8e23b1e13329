// `npm test [-- FILTER…] [-- OPTIONS OF node --test]`: brings up what the tests need, runs them, and ends with the runner's
// own summary. What is missing is listed before anything runs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { runStep } from '../step.ts'
import { startGivenPostgres } from './given-postgres.ts'
import { startOwnPostgres } from './own-postgres.ts'
import { type LeftOut, parseSkip, planRun } from './plan.ts'
import { findChromium, findPostgres, type Provision, provisions } from './provisions.ts'
import { listTestFiles, type Need } from './test-files.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const here = path.join(root, 'scripts/test')
const say = (text: string) => process.stderr.write(`${text}\n`)

/** Finds or brings every thing that is needed; returns those that are still missing. */
async function provide(needs: ReadonlySet<Need>): Promise<Provision[]> {
  const missing: Provision[] = []
  for (const provision of provisions.filter(({ need }) => needs.has(need))) {
    if (provision.find(root) !== undefined) continue
    const { prepare, what } = provision
    if (prepare !== undefined)
      await runStep(`Fetching ${what}`, () => prepare(root)).catch((err: Error) => say(err.message))
    if (provision.find(root) === undefined) missing.push(provision)
  }
  return missing
}

function findVectors(): string | undefined {
  const folder = path.resolve(root, process.env['SEALWIRE_VECTORS'] ?? '../shared/vectors')
  return fs.existsSync(folder) ? folder : undefined
}

function explainMissing(missing: readonly Provision[]): void {
  say('These tests need what is not here:')
  for (const { need, what, hint } of missing) say(`  ${need.padEnd(10)} ${what}\n             ${hint}`)
  say(`Or leave them out: SEALWIRE_TEST_SKIP=${missing.map(({ need }) => need).join(',')} npm test`)
}

function explainVectors(leftOut: readonly LeftOut[]): void {
  const files = leftOut.filter(({ asked }) => !asked)
  if (files.length === 0) return
  say('No published test vectors (SEALWIRE_VECTORS names their folder), so these files do not run:')
  for (const { file } of files) say(`  ${file}`)
  say('The files of its folder wycheproof/ are public: C2SP/wycheproof, commit dac1dd4, testvectors_v1/.')
}

interface Skipped {
  file?: string
  name: string
  why: string | true
}

/** The skips that nobody asked for, one line each. */
function unaskedSkips(file: string, leftOut: readonly LeftOut[]): string[] {
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').filter(Boolean) : []
  const asked = new Set(leftOut.filter((item) => item.asked).map((item) => item.file))
  return lines
    .map((line) => JSON.parse(line) as Skipped)
    .filter(({ name }) => !asked.has(name))
    .map(({ file: place, name, why }) => `${place ? path.relative(root, place) : ''}: ${name} (${why})`)
}

async function runFiles(
  files: readonly string[],
  options: readonly string[],
  env: NodeJS.ProcessEnv,
  skips: string,
): Promise<number> {
  const reporters = ['spec', path.join(here, 'skips-reporter.ts')].map((name) => `--test-reporter=${name}`)
  const destinations = ['stdout', skips].map((name) => `--test-reporter-destination=${name}`)
  const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`
  const args = ['--test', '--test-timeout=120000', concurrency, ...reporters, ...destinations, ...options, ...files]
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' })
  const stop = (signal: NodeJS.Signals) => child.kill(signal)
  process.on('SIGINT', stop).on('SIGTERM', stop)
  const [code] = (await once(child, 'exit')) as [number | null]
  process.off('SIGINT', stop).off('SIGTERM', stop)
  return code ?? 1
}

/** Starts the servers that the chosen files share; gives their variables and a way to stop them. */
async function startServers(needs: ReadonlySet<Need>) {
  const stops: (() => Promise<void>)[] = []
  const env: Record<string, string> = {}
  if (needs.has('database')) {
    const own = await runStep('Starting our own PostgreSQL', startOwnPostgres)
    stops.push(own.stop)
    env['SEALWIRE_TEST_DATABASE_URL'] = own.url
  }
  const chromium = needs.has('browser') ? findChromium() : undefined
  if (chromium !== undefined) env['SEALWIRE_TEST_CHROMIUM'] = chromium
  const given = process.env['SEALWIRE_TEST_POSTGRES_URL']
  const bin = findPostgres(root)
  if (needs.has('postgres') && given === undefined && bin !== undefined) {
    const server = await runStep(`Starting a given PostgreSQL (${bin})`, () => startGivenPostgres(bin))
    stops.push(server.stop)
    env['SEALWIRE_TEST_POSTGRES_URL'] = server.url
  }
  return { env, stop: () => Promise.all(stops.map((stop) => stop())) }
}

async function main(args: readonly string[]): Promise<number> {
  const filters = args.filter((arg) => !arg.startsWith('-'))
  const options = args.filter((arg) => arg.startsWith('-'))
  const files = listTestFiles(root, filters)
  if (files.length === 0) {
    say(`No test file matches ${filters.join(' ') || 'test/**/*.test.ts'}.`)
    return 1
  }
  const skip = parseSkip(process.env['SEALWIRE_TEST_SKIP'])
  const vectors = findVectors()
  const plan = planRun(files, skip, vectors)
  const needs = new Set(files.filter(({ file }) => plan.run.includes(file)).flatMap((file) => [...file.needs]))
  const missing = await provide(needs)
  if (missing.length > 0) {
    explainMissing(missing)
    return 1
  }
  explainVectors(plan.leftOut)
  const servers = await startServers(needs)
  const scratch = fs.mkdtempSync(path.join(tmpdir(), 'sealwire-test-'))
  try {
    const skips = path.join(scratch, 'skips')
    const env: NodeJS.ProcessEnv = {
      NODE_COMPILE_CACHE: path.join(root, '.cache/compile'),
      ...process.env,
      ...servers.env,
    }
    if (vectors !== undefined) env['SEALWIRE_VECTORS'] = vectors
    const notes = plan.leftOut.length > 0 ? [path.join(here, 'left-out.ts')] : []
    env['SEALWIRE_TEST_LEFT_OUT'] = JSON.stringify(plan.leftOut)
    const code = await runFiles([...plan.run, ...notes], options, env, skips)
    const unasked = process.env['CI'] === 'true' ? unaskedSkips(skips, plan.leftOut) : []
    if (unasked.length === 0) return code
    say(`\nSkipped, and SEALWIRE_TEST_SKIP does not ask for it:\n  ${unasked.join('\n  ')}`)
    return code || 1
  } finally {
    await servers.stop()
    fs.rmSync(scratch, { recursive: true, force: true })
  }
}

process.exitCode = await main(process.argv.slice(2)).catch((err: Error) => {
  say(err.message)
  return 1
})
