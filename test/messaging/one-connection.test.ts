import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging } from './harness.ts'

for (const version of [4, 5] as const) {
  test(`MQTT ${version}: 1,000 publishes one after the other, then 64 at a time, leave one CONNECT in the broker's log`, async () => {
    const broker = await startMosquitto({ users: { alice: 'pw' } })
    try {
      await using messaging = createMessaging()
      const integration = createIntegration({ config: { topics: ['load/#'], protocol_version: version } })
      messaging.vault.put(integration.credentialId, {
        hostname: '127.0.0.1',
        port: broker.ports.tcp,
        username: 'alice',
        password: 'pw',
      })
      let acknowledged = 0
      const publish = async () => {
        const { outcome } = await messaging.send(integration, { topic: 'load/x' })
        if (outcome === 'acknowledged') acknowledged++
      }
      for (let i = 0; i < 1_000; i++) await publish()
      let left = 1_000
      await Promise.all(
        Array.from({ length: 64 }, async () => {
          while (left-- > 0) await publish()
        }),
      )
      assert.equal(acknowledged, 2_000)
      assert.equal(broker.connects(), 1)
      assert.equal(messaging.vault.opens, 1)
      assert.equal(messaging.pool.stats().inFlight, 0)
    } finally {
      await broker.stop()
    }
  })
}

test('publishes that all start at once share one connection', async () => {
  const broker = await startMosquitto()
  try {
    await using messaging = createMessaging()
    const integration = createIntegration({ config: { topics: ['#'] } })
    messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
    await Promise.all(Array.from({ length: 200 }, () => messaging.send(integration, { topic: 'a' })))
    assert.equal(broker.connects(), 1)
  } finally {
    await broker.stop()
  }
})

test('P10: a hundred integrations on one broker with one user have a hundred client ids', async () => {
  const broker = await startMosquitto()
  try {
    await using first = createMessaging({ maxConnections: 500 })
    await using second = createMessaging({ maxConnections: 500 })
    for (const messaging of [first, second]) {
      const integrations = Array.from({ length: 50 }, () => createIntegration({ config: { topics: ['#'] } }))
      await Promise.all(
        integrations.map((integration) => {
          messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
          return messaging.send(integration, { topic: 'a' })
        }),
      )
    }
    const ids = [...broker.log().matchAll(/New client connected from \S+ as (\S+)/g)].map(([, id]) => id)
    assert.equal(ids.length, 100)
    assert.equal(new Set(ids).size, 100)
    assert.ok(ids.every((id) => /^sealwire-[0-9a-f]{8}-[0-9a-f]{32}$/.test(id ?? '')))
    assert.ok(!broker.log().includes('already connected'))
  } finally {
    await broker.stop()
  }
})
