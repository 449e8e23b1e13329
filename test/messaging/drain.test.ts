import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { type FakeConnection, startFakeBroker } from '#test/support/fake-broker.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

/** A broker that acknowledges when the test says so. */
async function startSlowBroker() {
  const waiting: (() => void)[] = []
  const publish = ({ messageId = 0 }, connection: FakeConnection) => {
    waiting.push(() => connection.send({ cmd: 'puback', messageId }))
  }
  return { broker: await startFakeBroker({ misbehave: { publish } }), waiting }
}

const passwordsOf = (broker: Awaited<ReturnType<typeof startFakeBroker>>) =>
  broker.packetsOf('connect').map(({ password }) => String(password))

test('V13: what is on its way when a credential is rotated finishes on the old connection, the next one uses the new', async () => {
  const { broker, waiting } = await startSlowBroker()
  try {
    await using messaging = createMessaging()
    const integration = createIntegration()
    const login = { hostname: '127.0.0.1', port: broker.port, username: 'u' }
    messaging.vault.put(integration.credentialId, { ...login, password: 'old' })
    const before = messaging.send(integration, { topic: 'a', qos: 1 })
    await broker.received('publish')
    messaging.vault.put(integration.credentialId, { ...login, password: 'new' })
    messaging.pool.retire(integration.tenantId, integration.credentialId)
    const after = messaging.send(integration, { topic: 'a', qos: 1 })
    await broker.received('publish', 2)
    assert.deepEqual(passwordsOf(broker), ['old', 'new'])
    assert.equal(broker.packetsOf('disconnect').length, 0)
    for (const acknowledge of waiting) acknowledge()
    assert.equal((await before).outcome, 'acknowledged')
    assert.equal((await after).outcome, 'acknowledged')
    await broker.received('disconnect')
    await until(() => messaging.pool.stats().connections === 1)
    const last = messaging.send(integration, { topic: 'a', qos: 1 })
    await broker.received('publish', 3)
    waiting[2]?.()
    await last
    assert.deepEqual(passwordsOf(broker), ['old', 'new'], 'the old password was not used again')
  } finally {
    await broker.stop()
  }
})

test('V13: what is never acknowledged holds the old connection for 30 s, and no longer', async (t) => {
  const { broker } = await startSlowBroker()
  try {
    await using messaging = createMessaging()
    const integration = createIntegration()
    messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
    const deadlineMs = messaging.clock.monotonic() + 50
    const err = await refusalOf(messaging.send(integration, { topic: 'a', qos: 1, deadlineMs }))
    assert.equal(err.code, 'outcome.unknown')
    const [connection] = broker.connections
    assert.ok(connection)
    const closed = once(connection.socket, 'close')
    t.mock.timers.enable({ apis: ['setTimeout'] })
    messaging.pool.retire(integration.tenantId, integration.credentialId)
    t.mock.timers.tick(29_999)
    assert.deepEqual([messaging.pool.stats().connections, messaging.pool.stats().draining], [1, 1])
    t.mock.timers.tick(1)
    t.mock.timers.reset()
    await closed
    await until(() => messaging.pool.stats().connections === 0)
  } finally {
    await broker.stop()
  }
})
