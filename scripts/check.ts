// `npm run check`: format, lint, types, the import table and the tests that need nothing but this repository.
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isUnitTest, listTestFiles } from './test/test-files.ts'

interface Check {
  title: string
  command: string
  args: readonly string[]
  /** Says from the whole output what was looked at, so that a check that found nothing to look at cannot pass for green. */
  counted: RegExp | undefined
}

const root = fileURLToPath(new URL('..', import.meta.url))
const bin = (name: string) => path.join(root, 'node_modules/.bin', name)

async function runCheck({ title, command, args, counted }: Check): Promise<boolean> {
  const startedMs = performance.now()
  const env = { ...process.env, NODE_COMPILE_CACHE: path.join(root, '.cache/compile') }
  const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()))
  const code = await new Promise<number>((resolve) => {
    child.once('error', (err) => {
      output += err.message
      resolve(1)
    })
    child.once('close', (ended) => resolve(ended ?? 1))
  })
  const count = counted?.exec(output)?.[0]
  const passed = code === 0 && (counted === undefined || count !== undefined)
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(`${passed ? 'ok    ' : 'FAILED'}  ${title.padEnd(24)} ${seconds.padStart(5)} s  ${count?.trim() ?? ''}`)
  if (!passed) console.log(output.trimEnd().replace(/^/gm, '        '))
  return passed
}

const units = listTestFiles(root).filter(isUnitTest)
const checks: readonly Check[] = [
  { title: 'unit tests, import table', command: process.execPath, args: unitArgs(), counted: /^ℹ pass [1-9]\d*/m },
  { title: 'types', command: bin('tsc'), args: [], counted: undefined },
  { title: 'types without Node', command: bin('tsc'), args: ['-p', 'tsconfig.portable.json'], counted: undefined },
  {
    title: 'lint with types',
    command: bin('oxlint'),
    args: ['--type-aware', 'src', 'test', 'scripts'],
    counted: /on [1-9]\d* files/,
  },
  { title: 'format, imports, lint', command: bin('biome'), args: ['ci', '.'], counted: /Checked [1-9]\d* files/ },
]

function unitArgs(): string[] {
  const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`
  return ['--test', '--test-reporter=spec', '--test-timeout=30000', concurrency, ...units.map(({ file }) => file)]
}

if (!units.some(({ file }) => file.startsWith('test/arch/'))) throw new Error('The import-table test was not found.')
const startedMs = performance.now()
const results = await Promise.all(checks.map(runCheck))
const failed = results.filter((passed) => !passed).length
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
console.log(
  failed === 0 ? `All ${checks.length} checks passed in ${seconds} s.` : `${failed} of ${checks.length} checks failed.`,
)
process.exitCode = failed === 0 ? 0 : 1
