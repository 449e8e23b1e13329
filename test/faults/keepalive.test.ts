import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#src/core/clock.ts'
import { createIntegration, createMessaging, refusalOf, until } from '#test/messaging/harness.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { startFaultProxy } from '#test/support/fault-proxy.ts'
import { patience } from '#test/support/patience.ts'

test('F9: a link that falls silent with several messages on their way is found by its keepalive, and all are unknown', async () => {
  await using stack = new AsyncDisposableStack()
  const broker = stack.adopt(await startFakeBroker(), (one) => one.stop())
  const proxy = stack.adopt(await startFaultProxy({ toPort: broker.port }), (one) => one.stop())
  await using messaging = createMessaging({ random: () => 0 })
  const integration = createIntegration()
  const impatient = { ...integration, config: { ...integration.config, keepaliveS: 1 } }
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: proxy.port })
  await messaging.send(impatient, { topic: 'a' })
  proxy.halfOpen()
  const started = performance.now()
  const errs = await Promise.all([1, 2, 3].map(() => refusalOf(messaging.send(impatient, { topic: 'a' }))))
  assert.deepEqual(new Set(errs.map(({ code }) => code)), new Set(['outcome.unknown']))
  assert.ok(performance.now() - started < patience(5_000), 'by the keepalive, not by the deadline of ten seconds')
  assert.ok(proxy.up.stalls > 0, 'the link was silent')
  assert.equal(broker.packetsOf('publish').length, 1)
  await until(() => messaging.pool.stats().connections === 0)
})

test('a link that only carries QoS 0, which nobody answers, is asked whether it lives, and lives on', async () => {
  await using stack = new AsyncDisposableStack()
  const broker = stack.adopt(await startFakeBroker(), (one) => one.stop())
  await using messaging = createMessaging({ random: () => 0 })
  const integration = createIntegration()
  const impatient = { ...integration, config: { ...integration.config, keepaliveS: 1 } }
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  const started = performance.now()
  while (performance.now() - started < 3_000) {
    assert.equal((await messaging.send(impatient, { topic: 'a', qos: 0 })).outcome, 'sent')
    await delay(100)
  }
  assert.equal(broker.connections.length, 1)
  assert.ok(broker.packetsOf('pingreq').length >= 2)
})

/** A connection with a keepalive of a second, whose next look at itself finds that `silentMs` have passed. */
async function afterSilence(
  silentMs: number,
  look: (at: { connections: () => number; pings: () => number }) => Promise<void>,
) {
  await using stack = new AsyncDisposableStack()
  const broker = stack.adopt(await startFakeBroker(), (one) => one.stop())
  let aheadMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + aheadMs }
  await using messaging = createMessaging({ clock })
  const integration = createIntegration()
  const impatient = { ...integration, config: { ...integration.config, keepaliveS: 1 } }
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  await messaging.send(impatient, { topic: 'a' })
  aheadMs = silentMs
  await look({
    connections: () => messaging.pool.stats().connections,
    pings: () => broker.packetsOf('pingreq').length,
  })
}

test('the watchdog ends a link that was silent for twice the keepalive, whatever mqtt.js thinks of it', async () => {
  await afterSilence(2_000, async ({ connections, pings }) => {
    await until(() => connections() === 0)
    assert.equal(pings(), 0, 'mqtt.js had not begun to doubt it')
  })
})

test('the watchdog leaves a link alone that was silent for less', async () => {
  await afterSilence(400, async ({ connections, pings }) => {
    await until(() => pings() >= 2)
    assert.equal(connections(), 1)
  })
})
