import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createTenant } from '#src/app.ts'
import { silentLog } from '#src/core/log.ts'
import { type ApiServer, type Reply, refused, startApiServer, succeed } from '#test/support/api-server.ts'
import { type FakeBroker, type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'

/** Refused at once is what a caller feels; the rest of it is a loaded machine. */
const AT_ONCE_MS = 100
const SLACK_MS = 2_000

/** Requests at once. */
const MOST = 30

describe(`a server with room for ${MOST} requests, whose broker does not acknowledge`, () => {
  let api: ApiServer
  let broker: FakeBroker
  let mute = true
  const held: (() => void)[] = []
  let tenants: { key: string; integrationId: string }[]

  before(async () => {
    broker = await startFakeBroker({
      misbehave: {
        publish({ messageId = 0 }, connection: FakeConnection) {
          const acknowledge = () => connection.send({ cmd: 'puback', messageId })
          if (mute) held.push(acknowledge)
          else acknowledge()
        },
      },
    })
    api = await startApiServer({ SIGNER_QUEUE_MAX: String(MOST) })
    const other = await createTenant(api.config, { name: 'other', sandbox: false }, { log: silentLog })
    const keys = [api.ownerKey, other.ownerKey.reveal()]
    tenants = await Promise.all(keys.map(async (key) => ({ key, integrationId: await integrate(key) })))
  })
  after(async () => {
    await api.close()
    await broker.stop()
  })

  async function integrate(key: string): Promise<string> {
    const values = { hostname: '127.0.0.1', port: broker.port }
    const sealed = { name: 'broker', credential_type: 'custom_kv', values }
    const { id: credential_id } = await succeed(api.call('POST', '/api/v2/vault/seal', { key, body: sealed }))
    const body = {
      name: 'line',
      system_type: 'mqtt',
      credential_id,
      allowed_operations: ['publish'],
      config: { topic: 'line/4', qos: 1, limits: { max_in_flight: 100 } },
    }
    return (await succeed(api.call('POST', '/api/v2/integrations', { key, body }))).id
  }

  function publish({ key, integrationId }: { key: string; integrationId: string }): Promise<Reply> {
    const body = { integration_id: integrationId, operation: 'publish', payload: { message: '1' } }
    return api.call('POST', '/api/v2/proxy/outbound', { key, body, headers: { 'request-deadline-ms': '20000' } })
  }

  test('what is one too many is 503 at once and never reaches the broker; the other tenant is served; health answers', async () => {
    const [one, other] = tenants as [(typeof tenants)[0], (typeof tenants)[0]]
    const share = (MOST * 2) / 3
    const waiting = Array.from({ length: share }, () => publish(one))
    await broker.received('publish', share)

    const startedMs = performance.now()
    const beyond = await Promise.all(Array.from({ length: 40 }, () => publish(one)))
    const tookMs = performance.now() - startedMs
    for (const reply of beyond) {
      assert.deepEqual([reply.status, reply.json.error.code], [503, 'server.busy'])
      assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
    }
    assert.ok(tookMs < AT_ONCE_MS + SLACK_MS, `forty refusals took ${tookMs} ms`)
    assert.equal(broker.packetsOf('publish').length, share, 'none of them was sent')

    mute = false
    assert.equal((await publish(other)).status, 200)
    assert.equal(broker.packetsOf('publish').length, share + 1)
    for (const target of ['/health', '/health/ready', '/.well-known/sealwire-keys'])
      assert.equal((await api.call('GET', target)).status, 200, target)

    for (const acknowledge of held.splice(0)) acknowledge()
    for (const reply of await Promise.all(waiting)) assert.equal(reply.status, 200)
    assert.equal((await publish(one)).status, 200, 'places come back')
  })

  test('two tenants that want everything are both held to their share, and served again when the first ones end', async () => {
    const [one, other] = tenants as [(typeof tenants)[0], (typeof tenants)[0]]
    const before = broker.packetsOf('publish').length
    mute = true
    const first = Array.from({ length: (MOST * 2) / 3 }, () => publish(one))
    await broker.received('publish', before + first.length)
    const second = Array.from({ length: 8 }, () => publish(other)) // what every tenant has
    await broker.received('publish', before + first.length + second.length)
    const third = Array.from({ length: 10 }, () => publish(other))
    const replies = await Promise.all(third)
    assert.ok(replies.every(({ status }) => status === 503))
    assert.equal(broker.packetsOf('publish').length, before + first.length + second.length)
    mute = false
    for (const acknowledge of held.splice(0)) acknowledge()
    for (const reply of await Promise.all([...first, ...second])) assert.equal(reply.status, 200)
    await refused(publish({ ...one, integrationId: 'int_none' }), 404, 'object.not_found')
  })
})
