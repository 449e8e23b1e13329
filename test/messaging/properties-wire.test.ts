import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { generate } from 'mqtt-packet'
import { utf8 } from '#src/core/bytes.ts'
import type { MessageProperties } from '#src/messaging/message-properties.ts'
import { type FakeBroker, type Misbehaviour, startFakeBroker } from '#test/support/fake-broker.ts'
import { createIntegration, createMessaging, refusalOf, until } from './harness.ts'

async function start(t: TestContext, misbehave: Misbehaviour = {}): Promise<FakeBroker> {
  const broker = await startFakeBroker({ misbehave })
  t.after(() => broker.stop())
  return broker
}

function setUp(broker: FakeBroker, config: object = { topics: ['#'] }) {
  const messaging = createMessaging()
  const integration = createIntegration({ config })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.port })
  return { messaging, integration }
}

describe('one layer below the checks: what cannot be encoded does not touch the shared stream', () => {
  const long = 'x'.repeat(70_000)
  const unsayable: { why: string; properties: unknown }[] = [
    { why: 'a content type of 70,000 bytes', properties: { contentType: long } },
    { why: 'a content type that is a number', properties: { contentType: 7 } },
    { why: 'a response topic that is a number', properties: { responseTopic: 7 } },
    { why: 'a user property of 70,000 bytes', properties: { userProperties: [['a', long]] } },
    { why: 'a name of 65,536 bytes', properties: { userProperties: [['n'.repeat(65_536), '']] } },
    { why: 'a user property without a value', properties: { userProperties: [['a', null]] } },
    { why: 'an expiry of -1', properties: { messageExpiryS: -1 } },
    { why: 'an expiry of 2^33', properties: { messageExpiryS: 2 ** 33 } },
    { why: 'correlation data of 70,000 bytes', properties: { correlationData: new Uint8Array(70_000) } },
  ]
  for (const { why, properties } of unsayable) {
    test(`${why}: refused, and what is published next arrives on the same connection`, async (t) => {
      const broker = await start(t)
      const { messaging, integration } = setUp(broker)
      await using _ = messaging
      await messaging.send(integration, { topic: 'before', qos: 1 })
      const given = { topic: 't', payload: utf8('x'), qos: 1, retain: false, messageId: 'm' } as const
      const message = { ...given, properties: properties as MessageProperties }
      const permission = { askedMs: messaging.clock.monotonic(), renew: () => assert.fail('nothing waited') }
      const deadlineMs = messaging.clock.monotonic() + 5_000
      const err = await refusalOf(messaging.pool.publish(integration, message, deadlineMs, permission))
      assert.equal(err.code, 'request.invalid')
      await messaging.send(integration, { topic: 'after', qos: 1 })
      assert.deepEqual(
        broker.packetsOf('publish').map(({ topic }) => topic),
        ['before', 'after'],
      )
      assert.equal(broker.connections.length, 1)
    })
  }

  test('on MQTT 3.1.1 properties are refused there too, and not stripped', async (t) => {
    const broker = await start(t)
    const { messaging, integration } = setUp(broker, { topics: ['#'], protocol_version: 4 })
    await using _ = messaging
    await messaging.send(integration, { topic: 'before', qos: 1 })
    const message = { topic: 't', payload: utf8('x'), qos: 1, retain: false, messageId: 'm', properties: {} } as const
    const permission = { askedMs: messaging.clock.monotonic(), renew: () => assert.fail('nothing waited') }
    const err = await refusalOf(
      messaging.pool.publish(integration, message, messaging.clock.monotonic() + 5_000, permission),
    )
    assert.equal(err.code, 'request.invalid')
    assert.equal(broker.packetsOf('publish').length, 1)
  })
})

/** A number as MQTT writes lengths. */
function variable(value: number): number[] {
  return value < 128 ? [value] : [(value & 0x7f) | 0x80, ...variable(Math.floor(value / 128))]
}

/** A PUBLISH to `t` with these property bytes, whatever they are. */
function rawPublish(properties: Uint8Array): Buffer {
  const start = [0, 1, 0x74, ...variable(properties.length)]
  const size = start.length + properties.length + 1
  return Buffer.concat([Buffer.from([0x30, ...variable(size), ...start]), properties, Buffer.from('x')])
}

/** A broker that answers SUBSCRIBE with its SUBACK and these bytes. */
const startTalker = (t: TestContext, bytes: Uint8Array) =>
  start(t, {
    subscribe({ messageId = 0 }, connection) {
      connection.send({ cmd: 'suback', messageId, granted: [0] })
      connection.write(bytes)
    },
  })

describe('what a broker sends', () => {
  test('10,000 user properties: the message comes, 8 KiB of them with it, and the connection stays', async (t) => {
    const userProperties = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`name-${i}`, 'v'.repeat(20)]))
    const packet = { cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false } as const
    const bytes = generate({ ...packet, properties: { userProperties } }, { protocolVersion: 5 })
    assert.ok(bytes.length > 300_000)
    const broker = await startTalker(t, bytes)
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const { messages } = await messaging.gather(integration, { topic: 't', maxMessages: 1 })
    const { user_properties: user = {}, truncated } = messages[0]?.properties ?? {}
    assert.equal(messages[0]?.message, 'x')
    assert.equal(truncated, true)
    assert.ok(Object.keys(user).length > 100 && Object.keys(user).length < 400)
    assert.equal(broker.connections[0]?.socket.destroyed, false)
  })

  test('more than half a MiB of properties: the connection is ended before they are taken apart', async (t) => {
    const broker = await startTalker(t, rawPublish(Buffer.alloc(600_000, Buffer.from([0x26, 0, 0, 0, 0]))))
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const err = await refusalOf(messaging.gather(integration, { topic: 't', waitMs: 300 }))
    assert.equal(err.code, 'broker.unreachable')
    assert.ok(broker.connections.length > 0)
    await until(() => broker.connections.every(({ socket }) => socket.destroyed))
  })

  test('half a MiB of empty ones is taken, and bounded: the twin', async (t) => {
    const broker = await startTalker(t, rawPublish(Buffer.alloc(500_000, Buffer.from([0x26, 0, 0, 0, 0]))))
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const { messages } = await messaging.gather(integration, { topic: 't', maxMessages: 1 })
    assert.deepEqual(messages[0]?.properties, { user_properties: { '': '' } }) // mqtt-packet keeps the last of empty values
  })

  test('a property that must not repeat and does, is left out; the message comes', async (t) => {
    const twice = Buffer.from([0x03, 0, 1, 0x61, 0x03, 0, 1, 0x62, 0x08, 0, 1, 0x72])
    const broker = await startTalker(t, rawPublish(twice))
    const { messaging, integration } = setUp(broker)
    await using _ = messaging
    const { messages } = await messaging.gather(integration, { topic: 't', maxMessages: 1 })
    assert.deepEqual(messages[0]?.properties, { response_topic: 'r', truncated: true })
  })
})
