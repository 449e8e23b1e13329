import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { listTestFiles } from '../../scripts/test/test-files.ts'
import { collect } from './run-dockerfile.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const url = process.env['SEALWIRE_TEST_POSTGRES_URL']
/** Every folder whose capability keeps rows, and the whole job over HTTP. */
const storage = /^test\/(audit|db|http\/main-job|idempotency|integrations|keys|tenants|vault)/

test('storage holds on a PostgreSQL that DATABASE_URL gives as it does on our own', { timeout: 120_000 }, async () => {
  assert.ok(url, 'npm test starts one and names it')
  const files = listTestFiles(root).filter(({ file, needs }) => storage.test(file) && needs.has('database'))
  assert.ok(files.length >= 8, `found ${files.length} files`)
  const env = { ...process.env, SEALWIRE_TEST_DATABASE_URL: url }
  Reflect.deleteProperty(env, 'NODE_TEST_CONTEXT')
  const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files.map(({ file }) => file)]
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = collect(child)
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 0, output())
  const passed = Number(/^ℹ pass (\d+)$/m.exec(output())?.[1])
  assert.ok(passed >= 30, `${passed} tests ran`)
})
