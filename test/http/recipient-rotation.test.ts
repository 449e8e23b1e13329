import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import {
  ML_KEM_SUITE,
  type Recipient,
  Sealwire,
  type SealwireError,
  type SuiteName,
  X_WING_SUITE,
} from '#src/sdk/index.ts'
import { refused, succeed } from '#test/support/api-server.ts'
import { patience } from '#test/support/patience.ts'
import { type Plant, startPlant } from '#test/support/plant.ts'
import { failureOf } from '#test/support/sdk-calls.ts'
import { type ServerProcess, startServerProcess } from '#test/support/server-process.ts'

/** Two server processes over one database. */
describe('recipients in two processes', () => {
  let plant: Plant
  let second: ServerProcess | undefined
  const urls = () => [plant.api.url, elsewhere()] as const
  const elsewhere = () => second?.url ?? assert.fail('not started')

  before(async () => {
    plant = await startPlant()
    second = await startServerProcess({ DATABASE_URL: plant.api.databaseUrl, DATA_DIR: plant.api.dataDir })
  })
  after(async () => {
    second?.child.kill('SIGKILL')
    if (second) await once(second.child, 'exit')
    await plant?.close()
  })

  async function apiKey(role: string): Promise<string> {
    const body = { name: 'device', role }
    return (await succeed(plant.api.call('POST', '/api/v2/security/api-keys', { body }), 201)).secret as string
  }

  /** Sends every other request to the other process. */
  function alternating(): typeof globalThis.fetch {
    let turn = 0
    return (input, init) => {
      const { pathname, search } = new URL(input instanceof Request ? input.url : input)
      return fetch(urls()[turn++ % 2] + pathname + search, init)
    }
  }

  async function enrolled(key: string, suite: SuiteName = ML_KEM_SUITE): Promise<Recipient> {
    return new Sealwire({ baseUrl: plant.api.url, apiKey: key }).recipients.enroll({ name: 'device', suite })
  }

  function client(key: string, recipient: Recipient, baseUrl = plant.api.url): Sealwire {
    return new Sealwire({ baseUrl, apiKey: key, recipient, maxRetries: 0 })
  }
  const publishOn = (sdk: Sealwire) =>
    sdk.proxy.publish({ integrationId: plant.integrationId, message: '22.5', qos: 1 })

  for (const suite of [ML_KEM_SUITE, X_WING_SUITE] as const) {
    test(`${suite}: an enrolled client publishes and opens, through either process`, async () => {
      const key = await apiKey('editor')
      const recipient = await enrolled(key, suite)
      for (const url of urls()) {
        const { result, envelope } = await publishOn(client(key, recipient, url))
        assert.equal(result.outcome, 'acknowledged')
        assert.equal(envelope.encrypted.algorithm, suite === X_WING_SUITE ? 'X-Wing' : 'ML-KEM-768')
      }
    })
  }

  test('revoked, nothing more is sealed to it: at once where it was revoked, within a second elsewhere', async () => {
    const key = await apiKey('editor')
    const recipient = await enrolled(key)
    for (const url of urls()) await publishOn(client(key, recipient, url)) // both know it now
    await succeed(plant.api.call('DELETE', `/api/v2/recipients/${recipient.recipientId}`))
    const revokedAtMs = performance.now()

    const here = await failureOf(publishOn(client(key, recipient)))
    assert.equal((here as SealwireError & { claim?: { code: string } }).claim?.code, 'recipient.required')
    const there = client(key, recipient, elsewhere())
    let lastSealedMs = 0
    let refusals = 0
    while (refusals < 20) {
      const sentAtMs = performance.now()
      const error = await publishOn(there).then(
        () => undefined,
        (err: SealwireError & { claim?: { code: string } }) => err,
      )
      if (error === undefined) {
        lastSealedMs = sentAtMs - revokedAtMs
        refusals = 0
        assert.ok(lastSealedMs < patience(1_000), `still sealed to it after ${lastSealedMs} ms`)
      } else {
        assert.equal(error.claim?.code, 'recipient.required')
        refusals++
      }
    }
  })

  test('a call that was under way when it was revoked gets no envelope, and is not called refused', async () => {
    const key = await apiKey('editor')
    const recipient = await enrolled(key)
    const payload = { topic: 'sensors/late', wait_ms: 20_000, max_messages: 1 }
    const body = { integration_id: plant.integrationId, operation: 'subscribe', payload }
    const since = plant.broker.log().length
    const collecting = plant.api.call('POST', '/api/v2/proxy/outbound', { key, body })
    while (!plant.broker.log().slice(since).includes('sensors/late')) await plant.broker.logged('SUBACK')
    await succeed(plant.api.call('DELETE', `/api/v2/recipients/${recipient.recipientId}`))
    const message = {
      integration_id: plant.integrationId,
      operation: 'publish',
      payload: { topic: 'sensors/late', message: '1' },
    }
    await succeed(plant.api.call('POST', '/api/v2/proxy/outbound', { body: message }))
    const reply = await refused(collecting, 504, 'outcome.unknown')
    assert.equal(reply.json.data, null)
  })

  test('rotation under load, through both processes: no call fails and every answer opens', async () => {
    const key = await apiKey('admin')
    const recipient = await enrolled(key)
    const sdk = new Sealwire({ baseUrl: plant.api.url, apiKey: key, recipient, fetch: alternating(), maxRetries: 0 })
    const audiences = new Set<string>()
    let published = 0
    const rotating = { done: false }
    const publishers = Array.from({ length: 4 }, async () => {
      while (!rotating.done) {
        const { result, envelope } = await publishOn(sdk)
        assert.equal(result.outcome, 'acknowledged')
        audiences.add(envelope.encrypted.key_id)
        published++
      }
    })
    const failed = Promise.all(publishers).catch((err: unknown) => {
      rotating.done = true
      return err
    })
    const ids = [recipient.recipientId]
    for (const suite of [X_WING_SUITE, ML_KEM_SUITE, X_WING_SUITE] as const) {
      const before = published
      while (published < before + 20 && !rotating.done) await publishOn(sdk)
      ids.push((await sdk.recipients.rotate({ suite })).recipientId)
    }
    audiences.add((await publishOn(sdk)).envelope.encrypted.key_id)
    rotating.done = true
    assert.ok(Array.isArray(await failed), String(await failed))
    assert.ok(published >= 60, String(published))
    assert.equal(audiences.size, 4)
    const states = await Promise.all(ids.map(async (id) => (await sdk.recipients.get(id)).state))
    assert.deepEqual(states, ['retired', 'retired', 'retired', 'active'])
  })

  test('rotation needs keys:manage, and the active recipient of this very API key; nothing changes without', async () => {
    const [editor, admin] = [await apiKey('editor'), await apiKey('admin')]
    const [editors, admins] = [await enrolled(editor), await enrolled(admin)]
    const forbidden = await failureOf(client(editor, editors).recipients.rotate())
    assert.deepEqual([forbidden.code, forbidden.details], ['auth.forbidden', { scope: 'keys:manage' }])
    const foreign = await failureOf(client(admin, editors).recipients.rotate())
    assert.equal(foreign.code, 'request.invalid')
    assert.match(foreign.message, /belongs to key_/)
    await publishOn(client(editor, editors))
    await publishOn(client(admin, admins))

    const next = await client(admin, admins).recipients.rotate()
    const late = await failureOf(client(admin, admins).recipients.rotate())
    assert.equal(late.code, 'recipient.required')
    assert.match(late.message, /retired/)
    await publishOn(client(admin, next))
  })

  test('the API key of another enrolment, or of another tenant, is named when the answer is not for this file', async () => {
    const [one, other] = [await apiKey('editor'), await apiKey('editor')]
    const [mine, theirs] = [await enrolled(one), await enrolled(other)]
    const error = await failureOf(publishOn(client(other, mine)))
    assert.deepEqual([error.code, error.outcome], ['envelope.rejected', 'unknown'])
    assert.match(error.hint ?? '', new RegExp(`for ${theirs.recipientId}, and this recipient is ${mine.recipientId}`))
  })
})
