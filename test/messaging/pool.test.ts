import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

type Options = Parameters<typeof createMessaging>[0]

async function setUp(options: Options = {}, misbehave: Parameters<typeof startFakeBroker>[0] = {}) {
  const broker = await startFakeBroker(misbehave)
  const messaging = createMessaging(options)
  return {
    broker,
    messaging,
    integration(tenantId?: string, config: object = {}) {
      const integration = createIntegration({ ...(tenantId && { tenantId }), config: { topics: ['#'], ...config } })
      messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
      return integration
    },
    async [Symbol.asyncDispose]() {
      await messaging[Symbol.asyncDispose]()
      await broker.stop()
    },
  }
}

test('the number of connections is bounded: the one idle for longest makes room', async () => {
  await using at = await setUp({ maxConnections: 3 })
  const integrations = Array.from({ length: 6 }, () => at.integration())
  for (const integration of integrations) {
    await at.messaging.send(integration, { topic: 'a' })
    assert.ok(at.messaging.pool.stats().connections <= 3)
  }
  assert.equal(at.broker.packetsOf('disconnect').length, 3, 'evicted connections say goodbye')
  await at.messaging.send(integrations[5] as (typeof integrations)[0], { topic: 'a' })
  assert.equal(at.broker.connections.length, 6, 'the newest is still there')
})

test('P18: a connection with a message on its way is never evicted; a full pool answers broker.busy at once', async () => {
  await using at = await setUp({ maxConnections: 2 }, { misbehave: { publish() {} } })
  const busy = [at.integration(), at.integration()].map((integration) =>
    refusalOf(at.messaging.send(integration, { topic: 'a', deadlineMs: at.messaging.clock.monotonic() + 1_000 })),
  )
  let ended = 0
  for (const one of busy) void one.then(() => ended++)
  await at.broker.received('publish', 2)
  const err = await refusalOf(at.messaging.send(at.integration(), { topic: 'a' }))
  assert.equal(err.code, 'broker.busy')
  assert.equal(ended, 0, 'it did not wait for the others')
  assert.deepEqual(
    (await Promise.all(busy)).map(({ code }) => code),
    ['outcome.unknown', 'outcome.unknown'],
  )
})

test('one tenant holds at most four fifths of the connections, and then gives up its own', async () => {
  await using at = await setUp({ maxConnections: 5 })
  const [noisy, quiet] = [newId('ten'), newId('ten')]
  await at.messaging.send(at.integration(quiet), { topic: 'a' })
  for (let i = 0; i < 8; i++) await at.messaging.send(at.integration(noisy), { topic: 'a' })
  assert.equal(at.broker.packetsOf('disconnect').length, 4)
  assert.equal(at.messaging.pool.stats().connections, 5)
})

test('tenants, integrations, credential versions and settings never share a connection', async () => {
  await using at = await setUp()
  const tenantId = newId('ten')
  const first = at.integration(tenantId)
  for (const integration of [first, first, at.integration(tenantId), at.integration()]) {
    await at.messaging.send(integration, { topic: 'a' })
  }
  assert.equal(at.broker.connections.length, 3)
  const changed = { ...first, config: { ...first.config, keepaliveS: 77 } }
  await at.messaging.send(changed, { topic: 'a' })
  assert.equal(at.broker.packetsOf('connect').at(-1)?.keepalive, 77)
  const limits = { ...first.config.limits, maxTopicBytes: 9 }
  await at.messaging.send({ ...changed, config: { ...changed.config, limits } }, { topic: 'a' })
  assert.equal(at.broker.connections.length, 4, 'what does not concern the connection does not end it')
})

test('CONNECT asks for a clean session and for nothing that was not decided here', async () => {
  await using at = await setUp()
  await at.messaging.send(at.integration(undefined, { client_id_prefix: 'plant' }), { topic: 'a' })
  const [connect] = at.broker.packetsOf('connect')
  assert.deepEqual(
    [connect?.clean, connect?.will, connect?.username, connect?.password],
    [true, undefined, undefined, undefined],
  )
  assert.match(connect?.clientId ?? '', /^plant-[0-9a-f]{8}-[0-9a-f]{32}$/)
  assert.deepEqual(connect?.properties, {
    receiveMaximum: 256,
    maximumPacketSize: 8_519_680,
    topicAliasMaximum: 0,
  })
})

test('an idle connection is ended, and the next publish opens another', async () => {
  await using at = await setUp({ idleMs: 300 })
  const integration = at.integration()
  await at.messaging.send(integration, { topic: 'a' })
  await at.broker.received('disconnect')
  await at.messaging.send(integration, { topic: 'a' })
  assert.equal(at.broker.connections.length, 2)
})

test('two processes on one host have different client ids', async () => {
  await using at = await setUp()
  await using other = createMessaging()
  const integration = at.integration()
  other.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: at.broker.port })
  await Promise.all([at.messaging.send(integration, { topic: 'a' }), other.send(integration, { topic: 'a' })])
  const ids = at.broker.packetsOf('connect').map(({ clientId }) => clientId.split('-')[1])
  assert.equal(new Set(ids).size, 2)
})

test('a hanging vault ends at the deadline, and nothing was sent', async () => {
  await using at = await setUp({ connectTimeoutMs: 300 })
  const integration = at.integration()
  const inMs = (ms: number) => at.messaging.clock.monotonic() + ms
  at.messaging.vault.current = () => new Promise(() => {})
  assert.equal(
    (await refusalOf(at.messaging.send(integration, { topic: 'a', deadlineMs: inMs(100) }))).code,
    'vault.unavailable',
  )
  at.messaging.vault.current = () => Promise.resolve({ version: 1, custody: 0, expiresAt: null, values: {} })
  at.messaging.vault.open = () => new Promise(() => {})
  assert.equal(
    (await refusalOf(at.messaging.send(integration, { topic: 'a', deadlineMs: inMs(100) }))).code,
    'broker.unreachable',
  )
  assert.equal((await refusalOf(at.messaging.send(integration, { topic: 'a' }))).code, 'vault.unavailable')
  assert.equal(at.broker.connections.length, 0)
  assert.equal(at.messaging.pool.stats().connecting, 0)
})

test('F9: an idle link whose broker answers no ping is ended within one and a half keepalives', async () => {
  await using at = await setUp({}, { misbehave: { pingreq() {} } })
  const integration = at.integration()
  const impatient = { ...integration, config: { ...integration.config, keepaliveS: 1 } }
  await at.messaging.send(impatient, { topic: 'a' })
  const started = performance.now()
  await once((at.broker.connections[0] as FakeConnection).socket, 'close')
  assert.ok(performance.now() - started < patience(2_500))
  await until(() => at.messaging.pool.stats().connections === 0)
  assert.equal(at.broker.packetsOf('pingreq').length, 1)
})

test('P22: a SOCKS proxy in the environment is not used', async () => {
  process.env['MQTTJS_SOCKS_PROXY'] = 'socks5://127.0.0.1:9'
  try {
    await using at = await setUp()
    assert.equal((await at.messaging.send(at.integration(), { topic: 'a' })).outcome, 'acknowledged')
  } finally {
    delete process.env['MQTTJS_SOCKS_PROXY']
  }
})
