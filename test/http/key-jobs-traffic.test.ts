import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { eventually } from '#test/audit/parts.ts'
import { succeed } from '#test/support/api-server.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'

const run = promisify(execFile)
/** Milliseconds between two requests: a hundred a second. */
const EVERY_MS = 10
const ENTRIES = 120
const AT_LEAST_MS = 3_000

describe('under a hundred requests a second to a real server and a real broker', () => {
  let plant: Plant
  const entries: string[] = []

  before(async () => {
    plant = await startPlant()
    for (let i = 0; i < ENTRIES; i++) entries.push(await plant.sealCredential({ note: String(i) }))
  })
  after(() => plant.close())

  const publish = () => ({
    path: '/api/v2/proxy/outbound',
    body: { integration_id: plant.integrationId, operation: 'publish', payload: { message: '22.5', qos: 1 } },
  })
  const unseal = (i: number) => ({ path: `/api/v2/vault/unseal/${entries[i % ENTRIES]}`, body: {} })
  const seal = () => ({
    path: '/api/v2/vault/seal',
    body: { credential_type: 'custom_kv', values: { hostname: '127.0.0.1', port: plant.broker.ports.tcp } },
  })
  const rotate = (i: number) => ({ path: `/api/v2/vault/rotate/${entries[i % ENTRIES]}`, body: {} })

  /** Sends requests at a fixed rate, whatever the answers take, until `work` and three seconds are over. */
  async function during(work: () => Promise<void>): Promise<{ failed: string[]; sent: number }> {
    const failed: string[] = []
    const answers: Promise<unknown>[] = []
    let sent = 0
    const ticker = setInterval(() => {
      const i = sent++
      const { path, body } = i % 20 === 7 ? unseal(i) : i % 50 === 13 ? seal() : i % 50 === 38 ? rotate(i) : publish()
      answers.push(
        plant.api.call('POST', path, { body }).then(
          ({ status, text }) => status < 300 || failed.push(`${path}: ${status} ${text.slice(0, 200)}`),
          (err: unknown) => failed.push(`${path}: ${String(err)}`),
        ),
      )
    }, EVERY_MS)
    try {
      const enough = new Promise((resolve) => setTimeout(resolve, AT_LEAST_MS))
      await Promise.all([work(), enough])
    } finally {
      clearInterval(ticker)
    }
    await Promise.all(answers)
    return { failed, sent }
  }

  async function assertAllOpen(): Promise<void> {
    for (const [i, id] of entries.entries()) {
      const { values } = await succeed(plant.api.call('POST', `/api/v2/vault/unseal/${id}`))
      assert.equal(values.note, String(i))
    }
    const report = await succeed(plant.api.call('POST', '/api/v2/audit/verify'))
    assert.equal(report.ok, true, JSON.stringify(report))
  }

  test('V7, G17: the vault moves to a new key: no request fails, no record is left, every one opens', async () => {
    const { failed, sent } = await during(async () => {
      await succeed(plant.api.call('POST', '/api/v2/security/keys/vault/rotate'))
      await eventually(async () => {
        const listed = await succeed(plant.api.call('GET', '/api/v2/security/keys'))
        return listed.find((key: { move: { left: number } | null }) => key.move)?.move.left === 0 || undefined
      })
    })
    assert.deepEqual(failed, [])
    assert.ok(sent > 200, `only ${sent} requests`)
    await assertAllOpen()
  })

  test('F36: wraps move to a new KMS key by a command beside the server: no request fails, none is left, every record opens', async () => {
    const env = { PATH: process.env['PATH'] ?? '', DATABASE_URL: plant.api.databaseUrl, DATA_DIR: plant.api.dataDir }
    const sealwire = (...args: string[]) => run(process.execPath, ['src/cli/main.ts', ...args], { env })
    let said = ''
    const { failed, sent } = await during(async () => {
      said = (await sealwire('keys', 'rewrap', '--to', 'local-next', '--json')).stdout
    })
    assert.deepEqual(failed, [])
    assert.ok(sent > 200, `only ${sent} requests`)
    const { state, kms_keys: keys } = JSON.parse(said)
    assert.equal(state, 'done')
    const [next, old] = [
      keys.find((key: { kms_key_id: string }) => key.kms_key_id === 'local-next'),
      keys.find((key: { kms_key_id: string }) => key.kms_key_id !== 'local-next'),
    ]
    assert.ok(next.default && next.keys > 0 && next.shares >= ENTRIES)
    assert.deepEqual([old.keys, old.shares], [0, 0])
    // What the server seals now is under the new key: it learned of it without a restart.
    await plant.sealCredential({ note: 'after' })
    const after = JSON.parse((await sealwire('keys', 'kms', 'list', '--json')).stdout)
    assert.equal(after.find((key: { kms_key_id: string }) => key.kms_key_id === old.kms_key_id).shares, 0)
    await assert.rejects(sealwire('keys', 'kms', 'remove', old.kms_key_id), /ended less than a minute ago/)
    await assert.rejects(sealwire('keys', 'kms', 'remove', 'local-next'), /need local-next|less than a minute/)
    await assertAllOpen()
  })
})
