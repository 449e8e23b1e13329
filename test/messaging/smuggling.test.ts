import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { generate } from 'mqtt-packet'
import { utf8 } from '#src/core/bytes.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging, refusalOf } from './harness.ts'

let broker: Mosquitto
before(async () => {
  broker = await startMosquitto()
})
after(() => broker.stop())

/** A whole PUBLISH to a topic that no policy allows, as it would be smuggled inside another packet. */
const forbidden = new Uint8Array(
  generate({ cmd: 'publish', topic: 'forbidden/admin', payload: 'owned', qos: 0, retain: false, dup: false }, {}),
)

for (const version of [4, 5] as const) {
  const setUp = (limits = {}) => {
    const messaging = createMessaging()
    const integration = createIntegration({ config: { topics: ['ok/#'], protocol_version: version, limits } })
    messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
    return { messaging, integration }
  }
  const topicOf = (bytes: number, letter = 'a') => `ok/${letter.repeat(bytes - 3)}`

  test(`P1, MQTT ${version}: an oversized topic is refused by us, and the connection stays in step`, async () => {
    const { messaging, integration } = setUp()
    await using _ = messaging
    await messaging.send(integration, { topic: 'ok/first' })
    const connects = broker.connects()
    for (const bytes of [1_025, 65_536, 70_000]) {
      const err = await refusalOf(messaging.send(integration, { topic: topicOf(bytes, 'b') }))
      assert.equal(err.code, 'request.invalid')
    }
    assert.ok(!broker.log().includes('bbbbbbbb'))
    assert.equal((await messaging.send(integration, { topic: topicOf(1_024) })).outcome, 'acknowledged')
    await messaging.send(integration, { topic: `ok/next/${version}` })
    await broker.logged(`ok/next/${version}`)
    assert.equal(broker.connects(), connects, 'the same connection')
  })

  test(`P1, MQTT ${version}: the longest topic that MQTT carries arrives where the limits allow it`, async () => {
    const { messaging, integration } = setUp({ max_topic_bytes: 65_535 })
    await using _ = messaging
    const longest = topicOf(65_535)
    const collecting = messaging.gather(integration, { topic: 'ok/+', maxMessages: 1, qos: 1 })
    await broker.logged('SUBSCRIBE')
    await messaging.send(integration, { topic: longest, text: 'long', retain: true })
    const { messages } = await collecting
    assert.equal(messages[0]?.topic, longest)
    await messaging.send(integration, { topic: longest, text: '', retain: true })
    assert.equal((await refusalOf(messaging.send(integration, { topic: `${longest}a` }))).code, 'request.invalid')
  })

  test(`P2, MQTT ${version}: a packet hidden in a payload stays a payload, whatever was tried before`, async () => {
    const { messaging, integration } = setUp()
    await using _ = messaging
    await messaging.send(integration, { topic: 'ok/before' })
    const connects = broker.connects()
    for (const bytes of [65_536, 65_540, 70_000]) {
      await refusalOf(messaging.send(integration, { topic: topicOf(bytes) }))
      // One layer below the checks: what cannot be encoded must not reach the stream either.
      const message = { topic: topicOf(bytes), payload: utf8(''), qos: 1, retain: false, messageId: 'm' } as const
      const deadlineMs = messaging.clock.monotonic() + 2_000
      const permission = { askedMs: messaging.clock.monotonic(), renew: () => assert.fail('nothing waited') }
      const refusal = await refusalOf(messaging.pool.publish(integration, message, deadlineMs, permission))
      assert.equal(refusal.code, 'request.invalid')
      for (const filling of [0, 1, 2, 3, 4, 128]) {
        const payload = new Uint8Array([...new Uint8Array(filling), ...forbidden])
        assert.equal((await messaging.send(integration, { topic: 'ok/carrier', payload })).outcome, 'acknowledged')
      }
    }
    await messaging.send(integration, { topic: `ok/after/${version}` })
    await broker.logged(`ok/after/${version}`)
    assert.ok(!broker.log().includes('forbidden/admin'))
    assert.equal(broker.connects(), connects, 'the same connection')
  })
}

test('the probe works: the hidden packet, sent as what it is, does reach the log', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration({ config: { topics: ['forbidden/#'] } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
  await messaging.send(integration, { topic: 'forbidden/admin' })
  await broker.logged('forbidden/admin')
})
