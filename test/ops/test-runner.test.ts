import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseSkip, planRun } from '../../scripts/test/plan.ts'
import { isUnitTest, listTestFiles, type Need, type TestFile } from '../../scripts/test/test-files.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwire-runner-'))
after(() => fs.rmSync(folder, { recursive: true, force: true }))

function put(files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.writeFileSync(path.join(folder, file), text)
  }
}

const file = (name: string, ...needs: Need[]): TestFile => ({ file: name, needs: new Set(needs) })

test('what a test file needs is found through the support that it imports, and a unit test needs nothing', () => {
  put({
    'test/support/database.ts': 'export const x = 1',
    'test/support/mosquitto.ts': 'export const x = 1',
    'test/support/api-server.ts': `import { x } from '#test/support/database.ts'\nexport { x }`,
    'test/http/vault.test.ts': `import { x } from '../support/api-server.ts'`,
    'test/messaging/pool.test.ts': `await import('#test/support/mosquitto.ts')`,
    'test/crypto/wycheproof.test.ts': `const folder = process.env['SEALWIRE_VECTORS']`,
    'test/core/ids.test.ts': `import '#src/db/pool.ts'`,
    'test/ops/launcher.test.ts': '',
  })
  const found = listTestFiles(folder)
  assert.deepEqual(
    found.map((item) => [item.file, [...item.needs].join(), isUnitTest(item)]),
    [
      ['test/core/ids.test.ts', '', true],
      ['test/crypto/wycheproof.test.ts', 'vectors', false],
      ['test/http/vault.test.ts', 'database', false],
      ['test/messaging/pool.test.ts', 'mosquitto', false],
      ['test/ops/launcher.test.ts', '', false],
    ],
  )
  assert.deepEqual(
    listTestFiles(folder, [path.join(folder, 'test/http')]).map((item) => item.file),
    ['test/http/vault.test.ts'],
  )
})

test('SEALWIRE_TEST_SKIP leaves out what needs the thing that it names, and nothing else', () => {
  const files = [file('a', 'database'), file('b', 'mosquitto', 'database'), file('c', 'browser')]
  assert.deepEqual(planRun(files, new Set(), '/vectors'), { run: ['a', 'b', 'c'], leftOut: [] })
  const plan = planRun(files, parseSkip(' mosquitto, browser'), '/vectors')
  assert.deepEqual(plan.run, ['a'])
  assert.deepEqual(
    plan.leftOut.map(({ file: name, asked }) => [name, asked]),
    [
      ['b', true],
      ['c', true],
    ],
  )
  assert.throws(() => parseSkip('mosquito'), /mosquito is none of/)
})

test('files without their vectors are left out as skips that nobody asked for', () => {
  const files = [file('a', 'vectors'), file('b')]
  assert.deepEqual(planRun(files, new Set(), '/vectors').leftOut, [])
  const [left, ...more] = planRun(files, new Set(), undefined).leftOut
  assert.deepEqual([left?.file, left?.asked, more.length], ['a', false, 0])
})

test('the skips that were left out are in the summary of the runner, each with its reason', () => {
  const leftOut = JSON.stringify([{ file: 'test/x.test.ts', why: 'SEALWIRE_TEST_SKIP=browser', asked: true }])
  const env = { ...process.env, SEALWIRE_TEST_LEFT_OUT: leftOut }
  Reflect.deleteProperty(env, 'NODE_TEST_CONTEXT')
  const reporters = ['--test-reporter=spec', `--test-reporter=${path.join(root, 'scripts/test/skips-reporter.ts')}`]
  const skips = path.join(folder, 'skips')
  const destinations = ['--test-reporter-destination=stdout', `--test-reporter-destination=${skips}`]
  const args = ['--test', ...reporters, ...destinations, path.join(root, 'scripts/test/left-out.ts')]
  const { status, stdout } = spawnSync(process.execPath, args, { env, encoding: 'utf8' })
  assert.equal(status, 0)
  assert.match(stdout, /test\/x\.test\.ts.*SEALWIRE_TEST_SKIP=browser/)
  assert.match(stdout, /^ℹ skipped 1$/m)
  const reported = JSON.parse(fs.readFileSync(skips, 'utf8')) as { name: string; why: string }
  assert.deepEqual([reported.name, reported.why], ['test/x.test.ts', 'SEALWIRE_TEST_SKIP=browser'])
})

/** Runs `npm test`'s program over a clone that holds one test file, under CI or not. */
function runIn(text: string, extra: Record<string, string>) {
  const clone = fs.mkdtempSync(path.join(folder, 'clone-'))
  for (const name of ['scripts', 'src']) fs.symlinkSync(path.join(root, name), path.join(clone, name))
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(clone, 'node_modules'))
  fs.copyFileSync(path.join(root, 'package.json'), path.join(clone, 'package.json'))
  fs.mkdirSync(path.join(clone, 'test/core'), { recursive: true })
  for (const name of ['arch', 'support']) fs.symlinkSync(path.join(root, 'test', name), path.join(clone, 'test', name))
  fs.writeFileSync(path.join(clone, 'test/core/one.test.ts'), text)
  const own = { CI: '', SEALWIRE_TEST_SKIP: '', SEALWIRE_TEST_CHROMIUM: '', SEALWIRE_TEST_LEFT_OUT: '[]' }
  const env = { ...process.env, ...own, ...extra }
  Reflect.deleteProperty(env, 'NODE_TEST_CONTEXT')
  const preserve = ['--preserve-symlinks', '--preserve-symlinks-main']
  const program = path.join(clone, 'scripts/test/test.ts')
  return spawnSync(process.execPath, [...preserve, program, 'test/core'], { cwd: clone, env, encoding: 'utf8' })
}

test('under CI a skip that nobody asked for fails the run, and the same run without it passes', () => {
  const passing = `import { test } from 'node:test'\nvoid test('runs', () => {})\n`
  const skipping = `${passing}void test('rests', { skip: 'no reason' }, () => {})\n`
  const [passed, skipped, outside] = [
    runIn(passing, { CI: 'true' }),
    runIn(skipping, { CI: 'true' }),
    runIn(skipping, {}),
  ]
  assert.equal(passed.status, 0, passed.stderr)
  assert.match(passed.stdout, /^ℹ pass 1$/m)
  assert.equal(outside.status, 0)
  assert.equal(skipped.status, 1)
  assert.match(
    skipped.stderr,
    /SEALWIRE_TEST_SKIP does not ask for it:\n {2}test\/core\/one\.test\.ts: rests \(no reason\)/,
  )
})

test('a need that cannot be met is listed with the skip that leaves it out, before anything runs', () => {
  const needy = `import { test } from 'node:test'\nconst x = process.env['SEALWIRE_TEST_POSTGRES_URL']\nvoid test('runs', () => {})\nif (!x) await import('playwright-core')\n`
  const nothing = { PATH: path.dirname(process.execPath), SEALWIRE_TEST_POSTGRES_URL: 'postgres://given' }
  const missing = runIn(needy, nothing)
  assert.equal(missing.status, 1)
  assert.match(missing.stderr, /browser +Chromium/)
  assert.match(missing.stderr, /SEALWIRE_TEST_SKIP=browser npm test/)
  assert.doesNotMatch(missing.stdout, /ℹ tests/)
  const skipped = runIn(needy, { ...nothing, SEALWIRE_TEST_SKIP: 'browser' })
  assert.equal(skipped.status, 0, skipped.stderr)
  assert.match(skipped.stdout, /^ℹ skipped 1$/m)
})
