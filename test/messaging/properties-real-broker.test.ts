import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { toBase64 } from '#src/core/base64.ts'
import { messageProperties, propertiesFromWire } from '#src/http/message-properties.ts'
import { MAX_PROPERTIES_BYTES, propertiesBytes } from '#src/messaging/message-properties.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { createIntegration, createMessaging } from './harness.ts'

let broker: Mosquitto
before(async () => {
  broker = await startMosquitto()
})
after(() => broker.stop())

/** Text of every kind, most of it unsayable: the schema is to find out. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom(
    '',
    '__proto__',
    'constructor',
    'toString',
    'length',
    '0',
    '10',
    '2',
    '\u0085',
    '\ufeff',
    '\ufffe',
    '\ud800',
  ),
)
const properties = fc.record(
  {
    content_type: text,
    response_topic: fc.oneof(text, fc.constantFrom('a', 'a//b', '/', '+', 'a/#', '$SYS/x')),
    correlation_data: fc.uint8Array({ maxLength: 20 }).map((bytes) => toBase64(bytes)),
    user_properties: fc
      .array(fc.tuple(text, fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 3 }))), { maxLength: 4 })
      .map((pairs) => Object.fromEntries(pairs)),
    message_expiry: fc.constantFrom(0, 1, 3600, 4_294_967_295),
    payload_format: fc.constantFrom('utf8', 'bytes'),
  },
  { requiredKeys: [] },
)

test('what the schema takes, a real broker takes: no connection is lost over it', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration({ config: { topics: ['#'] } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
  await messaging.send(integration, { topic: 'first' })
  const connects = broker.connects()
  let [sent, refused] = [0, 0]
  const published = async (given: unknown) => {
    const parsed = messageProperties.safeParse(given)
    if (!parsed.success) {
      refused++
      return
    }
    try {
      await messaging.send(integration, { topic: 't', qos: 1, properties: propertiesFromWire(parsed.data) })
      sent++
    } catch (err) {
      assert.ok(['request.invalid', 'policy.denied'].includes((err as { code: string }).code), String(err))
      refused++
    }
  }
  await fc.assert(fc.asyncProperty(properties, published), { numRuns: 600 })
  assert.ok(sent > 50 && refused > 50, `${sent} sent, ${refused} refused`)
  assert.equal(broker.connects(), connects, 'the same connection')
})

test('user properties come back as they went, whatever their names and values', async () => {
  await using messaging = createMessaging()
  const integration = createIntegration({ config: { topics: ['back/#'] } })
  messaging.vault.put(integration.credentialId, { hostname: '127.0.0.1', port: broker.ports.tcp })
  const sayable = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
    .filter((one) => one !== 'sealwire-message-id')
  const members = fc.array(fc.tuple(sayable, fc.oneof(sayable, fc.array(sayable, { minLength: 2, maxLength: 3 }))), {
    minLength: 1,
    maxLength: 6,
  })
  let count = 0
  const sameThrough = async (pairs: [string, string | string[]][]) => {
    const user = { ...Object.fromEntries(pairs), ['__proto__']: 'p' }
    const parsed = messageProperties.parse({ user_properties: user })
    const topic = `back/${count++}`
    const given = propertiesFromWire(parsed)
    assert.ok(propertiesBytes(given) < MAX_PROPERTIES_BYTES)
    await messaging.send(integration, { topic, qos: 1, retain: true, properties: given })
    const { messages } = await messaging.gather(integration, { topic, maxMessages: 1 })
    const { 'sealwire-message-id': _, ...received } = messages[0]?.properties.user_properties ?? {}
    assert.deepEqual(new Map(Object.entries(received)), new Map(Object.entries(user))) // in any order
  }
  await fc.assert(fc.asyncProperty(members, sameThrough), { numRuns: 40 })
  assert.ok(count >= 40)
})
