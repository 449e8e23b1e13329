import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { givenBroker, privateRangesOf, startBroker } from '../../scripts/quickstart/broker.ts'
import { collect } from './run-dockerfile.ts'
import { startScriptedBroker } from './scripted-broker.ts'

const program = fileURLToPath(new URL('../../scripts/quickstart/quickstart.ts', import.meta.url))
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sealwire-quickstart-'))
after(() => fs.rmSync(folder, { recursive: true, force: true }))

function start(
  dataDir: string,
  args: readonly string[],
  extra: NodeJS.ProcessEnv = {},
): { child: ChildProcess; output: () => string } {
  const own = { DATA_DIR: path.join(folder, dataDir), DATABASE_URL: '', NO_COLOR: '1', PORT: '0' }
  const env = { ...process.env, ...own, ...extra }
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  return { child, output: collect(child) }
}

async function run(
  dataDir: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  const { child, output } = start(dataDir, args, env)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output: output() }
}

const failedSteps = (output: string) => [...output.matchAll(/^✗ (.+?) {2,}/gm)].map(([, step]) => step)

describe('the quickstart', { timeout: 60_000 }, () => {
  test('does the main job with a line and a time for each step, and a second run lists the first one’s integration', async () => {
    const first = await run('twice', ['--broker', 'aedes'])
    assert.equal(first.code, 0, first.output)
    const steps = [...first.output.matchAll(/^✓ (.+?) {2,}\d+\.\d\d s {2}\S/gm)].map(([, step]) => step)
    assert.deepEqual(steps, [
      'Start the server',
      'Start a broker',
      'Enrol a recipient',
      'List integrations',
      "Seal the broker's credentials",
      'Create an integration',
      'Publish',
      'Receive it back',
      'Verify both signatures, and decrypt',
      'Refuse a changed copy',
      'Take the message back',
    ])
    assert.match(first.output, /What to look at next/)
    const id = /int_[0-9a-z]{26}/.exec(first.output)?.[0] ?? 'none'
    const second = await run('twice', ['--broker', 'aedes'])
    assert.equal(second.code, 0, second.output)
    assert.match(second.output, new RegExp(`List integrations .*${id} \\(quickstart\\)`))
    const seconds = Number(/Done in ([\d.]+) s/.exec(second.output)?.[1])
    assert.ok(seconds * 1_000 < patience(5_000), `${seconds} s`)
  })

  test('with a broker that acknowledges and delivers nothing it ends with 1 and names the step; one that delivers is fine', async () => {
    const runWith = async (delivers: boolean) => {
      const broker = await startScriptedBroker({ delivers })
      const ended = await run(`delivers-${delivers}`, ['--broker', `mqtt://127.0.0.1:${broker.port}`])
      await broker.stop()
      return ended
    }
    const silent = await runWith(false)
    assert.equal(silent.code, 1, silent.output)
    assert.deepEqual(failedSteps(silent.output), ['Receive it back'])
    assert.match(
      silent.output,
      /stopped at the step “Receive it back”:\n {2}The broker acknowledged .* delivered nothing/,
    )
    const honest = await runWith(true)
    assert.equal(honest.code, 0, honest.output)
  })

  test('without --broker it uses the Mosquitto on the PATH', async () => {
    const binary = findMosquitto() ?? assert.fail('needs Mosquitto')
    const bin = path.dirname(binary)
    const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
    const libraries = binary.includes('.cache') ? { LD_LIBRARY_PATH: path.join(bin, '../lib', triplet) } : {}
    const env = { PATH: `${bin}${path.delimiter}${process.env['PATH']}`, ...libraries }
    const ended = await run('mosquitto', [], env)
    assert.equal(ended.code, 0, ended.output)
    assert.match(ended.output, /Start a broker .*Mosquitto on 127\.0\.0\.1:\d+\n/)
  })

  test('where Mosquitto is not installed a broker from npm takes its place, and says why', async () => {
    const broker = await startBroker(() => undefined)
    await broker.stop()
    assert.match(broker.words, /^aedes on .*, because Mosquitto is not installed$/)
  })

  test('an address of --broker loses its brackets, and a private one is allowed alone', async () => {
    const cases: readonly [url: string, hostname: string, ranges: string[]][] = [
      ['mqtt://[::1]:1884', '::1', ['::1/128']],
      ['mqtt://192.168.1.7', '192.168.1.7', ['192.168.1.7/32']],
      ['mqtts://8.8.8.8', '8.8.8.8', []],
    ]
    for (const [url, hostname, ranges] of cases) {
      const broker = givenBroker(url)
      assert.equal(broker.credential.hostname, hostname)
      assert.deepEqual(await privateRangesOf(broker), ranges)
    }
  })

  test('--serve keeps server and broker running until it is told to stop, and shows a call that works', async () => {
    const { child, output } = start('serve', ['--serve', '--broker', 'aedes'])
    const ended = once(child, 'close')
    await new Promise<void>((resolve, reject) => {
      child.stdout?.on('data', () => output().includes('API reference:') && resolve())
      child.once('close', () => reject(new Error(output())))
    })
    const [, url = '', body = ''] = /curl -X POST (\S+) .* -d '(.*)'$/m.exec(output()) ?? []
    const key = fs.readFileSync(path.join(folder, 'serve/owner-api-key'), 'utf8').trim()
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
    const response = await fetch(url, { method: 'POST', headers, body })
    assert.equal(response.status, 200, await response.text())
    child.kill('SIGINT')
    const [code] = (await ended) as [number | null]
    assert.equal(code, 0, output())
  })

  test('an unknown option ends with 2 and the usage; what it keeps is readable by its owner only', async () => {
    const wrong = await run('none', ['--brocker'])
    assert.equal(wrong.code, 2)
    assert.match(wrong.output, /--brocker[\s\S]*usage:/)
    const names = ['owner-api-key', 'quickstart-api-key', 'quickstart-recipient.json', 'local-kms.json']
    for (const name of names) assert.equal(fs.statSync(path.join(folder, 'serve', name)).mode & 0o777, 0o600, name)
  })
})
