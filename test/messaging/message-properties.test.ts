import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { generate, type IPublishPacket, parser } from 'mqtt-packet'
import { utf8 } from '#src/core/bytes.ts'
import type { Access, Ruling } from '#src/messaging/access.ts'
import {
  assertProperties,
  judgePublish,
  MAX_PROPERTIES_BYTES,
  type MessageProperties,
  packetProperties,
  propertiesBytes,
} from '#src/messaging/message-properties.ts'
import { receivedPropertiesOf } from '#src/messaging/received-properties.ts'

const limits = { maxTopicBytes: 1024, maxPayloadBytes: 1, maxInFlight: 1 }
const FULL: MessageProperties = {
  contentType: 'text/plain',
  responseTopic: 'replies/1',
  correlationData: new Uint8Array([0, 255]),
  userProperties: [
    ['b', '1'],
    ['__proto__', 'p'],
    ['2', 'two'],
    ['b', ''],
    ['1', 'one'],
    ['constructor', 'c'],
    ['toString', 's'],
    ['hasOwnProperty', 'h'],
    ['length', 'l'],
    ['', 'nameless'],
  ],
  messageExpiryS: 4_294_967_295,
  payloadFormat: 'utf8',
}

function encoded(properties: MessageProperties | undefined): Buffer {
  const packet = { cmd: 'publish', topic: 't', payload: '', qos: 0, retain: false, dup: false } as const
  return generate({ ...packet, properties: packetProperties('msg_1', properties) }, { protocolVersion: 5 })
}

/** The user properties of a PUBLISH to `t` with QoS 0, read from its bytes: no parser is asked what it makes of them. */
function userPropertiesIn(packet: Buffer): [string, string][] {
  const found: [string, string][] = []
  const lengthBytes = (at: number) => packet.subarray(at).findIndex((byte) => byte < 0x80) + 1
  let at = 1 + lengthBytes(1) + 3
  at += lengthBytes(at)
  const text = () => {
    const start = at + 2
    at = start + packet.readUInt16BE(at)
    return packet.toString('utf8', start, at)
  }
  while (at < packet.length) {
    const id = packet[at++]
    if (id === 0x26) found.push([text(), text()])
    else if (id === 0x01) at += 1
    else if (id === 0x02) at += 4
    else text() // 0x03, 0x08, 0x09: a length and so many bytes
  }
  return found
}

describe('what is sent', () => {
  test('every property is in the packet, user properties in their order, whatever their names', () => {
    const packet = encoded(FULL)
    assert.deepEqual(userPropertiesIn(packet), [['sealwire-message-id', 'msg_1'], ...(FULL.userProperties ?? [])])
    const parsed = Promise.withResolvers<IPublishPacket>()
    const decoder = parser({ protocolVersion: 5 })
    decoder.on('packet', (one) => parsed.resolve(one as IPublishPacket))
    decoder.parse(packet)
    return parsed.promise.then(({ properties }) => {
      const { userProperties: _, ...rest } = properties ?? {}
      assert.deepEqual(rest, {
        payloadFormatIndicator: true,
        messageExpiryInterval: 4_294_967_295,
        contentType: 'text/plain',
        responseTopic: 'replies/1',
        correlationData: Buffer.from([0, 255]),
      })
      assert.equal(({} as { polluted?: unknown }).polluted, undefined)
    })
  })

  test('the size that is judged is the size that is sent', () => {
    const without = encoded(undefined).length
    const long = { ...FULL, contentType: 'é'.repeat(60) }
    for (const properties of [
      FULL,
      long,
      { payloadFormat: 'bytes' },
      { messageExpiryS: 0 },
      { correlationData: utf8('') },
    ]) {
      const lengths = encoded(properties as MessageProperties).length - without
      const size = propertiesBytes(properties as MessageProperties)
      assert.ok(lengths - size >= 0 && lengths - size <= 2, 'but for a longer length in front') // of packet and properties
    }
  })
})

describe('what is refused', () => {
  const filled = (bytes: number): MessageProperties => ({ contentType: 'x'.repeat(bytes - 3) })
  const cases: { why: string; properties: MessageProperties; payload?: Uint8Array<ArrayBuffer>; says?: RegExp }[] = [
    { why: 'all of them', properties: FULL },
    { why: 'none', properties: {} },
    { why: 'the bound', properties: filled(MAX_PROPERTIES_BYTES) },
    {
      why: 'one byte more',
      properties: filled(MAX_PROPERTIES_BYTES + 1),
      says: /^payload\.properties: longer than 8192/,
    },
    {
      why: 'ten thousand user properties',
      properties: { userProperties: Array.from({ length: 10_000 }, (_, i) => [String(i), ''] as const) },
      says: /^payload\.properties: longer/,
    },
    {
      why: 'a response topic with a wildcard',
      properties: { responseTopic: 'a/+' },
      says: /response_topic: it holds a wildcard/,
    },
    { why: 'an empty response topic', properties: { responseTopic: '' }, says: /response_topic: it is empty/ },
    { why: 'a response topic with NUL', properties: { responseTopic: 'a\u0000' }, says: /response_topic: / },
    {
      why: 'a response topic with a lone surrogate',
      properties: { responseTopic: '\ud800' },
      says: /response_topic: /,
    },
    { why: 'a response topic of the limit', properties: { responseTopic: 'x'.repeat(1024) } },
    {
      why: 'a response topic beyond the limit',
      properties: { responseTopic: 'x'.repeat(1025) },
      says: /response_topic: it is longer than 1024 bytes/,
    },
    {
      why: 'our own name',
      properties: { userProperties: [['sealwire-message-id', 'x']] },
      says: /user_properties: sealwire-/,
    },
    {
      why: 'utf8 that is none',
      properties: { payloadFormat: 'utf8' },
      payload: new Uint8Array([0xff]),
      says: /payload_format: /,
    },
    { why: 'bytes that are no UTF-8', properties: { payloadFormat: 'bytes' }, payload: new Uint8Array([0xff]) },
  ]
  for (const { why, properties, payload = utf8('x'), says } of cases) {
    test(`${why}: ${says ? 'refused, naming the member' : 'passes'}`, () => {
      const judge = () => assertProperties(properties, payload, { protocolVersion: 5, limits }, 'payload')
      if (!says) return judge()
      assert.throws(
        judge,
        (err: { code?: unknown; message: string }) => err.code === 'request.invalid' && says.test(err.message),
      )
    })
  }

  test('any on MQTT 3.1.1, even none: they are never stripped in silence', () => {
    const judge = () => assertProperties({}, utf8(''), { protocolVersion: 4, limits }, 'payload.messages.3')
    assert.throws(judge, /payload\.messages\.3\.properties: MQTT 3\.1\.1 has none; set config\.protocol_version/)
  })
})

describe('the response topic is judged with the message', () => {
  const ruling = (members: Partial<Ruling>): Ruling => ({
    allowed: true,
    reason: 'because',
    rule: 'r',
    qos: 1,
    retain: false,
    policy: null,
    record: {},
    trace: () => ['a line'],
    ...members,
  })
  const message = { topic: 't', qos: 1, retain: false } as const
  const access = (publish: Partial<Ruling>, subscribe: Partial<Ruling>): Pick<Access, 'publish' | 'subscribe'> => ({
    publish: () => ruling(publish),
    subscribe: (filter, qos) => ruling({ ...subscribe, reason: `${filter} at ${qos}` }),
  })
  const properties = { responseTopic: 'replies/1' }

  test('without one, it is the message alone', () => {
    assert.equal(judgePublish(access({}, { allowed: false }), message).allowed, true)
  })
  test('one that the caller may not subscribe to refuses the message, and says why', () => {
    const { allowed, reason, rule, trace } = judgePublish(access({}, { allowed: false, rule: 'no' }), {
      ...message,
      properties,
    })
    assert.deepEqual([allowed, rule], [false, 'no'])
    assert.match(reason, /may not subscribe to the response topic: replies\/1 at 2/)
    assert.deepEqual(trace(), ['a line', 'response topic: a line'])
  })
  test('one that it may subscribe to changes nothing; a refused message stays refused for its own reason', () => {
    assert.deepEqual(judgePublish(access({ qos: 0 }, { qos: 2 }), { ...message, properties }).qos, 0)
    assert.equal(judgePublish(access({ allowed: false }, {}), { ...message, properties }).reason, 'because')
  })
})

describe('what is received', () => {
  test('all of it, typed', () => {
    const userProperties = Object.assign(Object.create(null), { a: '1', b: ['2', '3'], ['__proto__']: 'p' })
    const received = receivedPropertiesOf({
      contentType: 'c',
      responseTopic: 'r',
      correlationData: Buffer.from([255]),
      messageExpiryInterval: 0,
      payloadFormatIndicator: false,
      userProperties,
      subscriptionIdentifier: 3,
    })
    const { user_properties: user, ...rest } = received
    assert.deepEqual(rest, {
      content_type: 'c',
      response_topic: 'r',
      correlation_data: '/w==',
      message_expiry: 0,
      payload_format: 'bytes',
    })
    assert.equal(JSON.stringify(user), '{"a":"1","b":["2","3"],"__proto__":"p"}')
    assert.deepEqual(receivedPropertiesOf({}), {})
  })

  const malformed = [
    { contentType: ['a', 'b'] },
    { correlationData: 'text' },
    { messageExpiryInterval: [1, 2] },
    { payloadFormatIndicator: 1 },
    { userProperties: { a: [1] } },
    { userProperties: { a: null } },
  ]
  for (const one of malformed) {
    test(`${JSON.stringify(one)} is left out, and said to be`, () => {
      const { user_properties: user = {}, ...rest } = receivedPropertiesOf(one as never)
      assert.deepEqual(rest, { truncated: true })
      assert.deepEqual(user, {})
    })
  }

  test('of ten thousand user properties 8 KiB are kept, and it is said that there were more', () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`name${i}`, 'value']))
    const { user_properties: user = {}, truncated } = receivedPropertiesOf({ contentType: 'c', userProperties: many })
    assert.equal(truncated, true)
    const names = Object.keys(user)
    assert.ok(names.length > 100 && names.length < 700, String(names.length))
    assert.equal(
      receivedPropertiesOf({ userProperties: { a: Array(10_000).fill('v') } }).user_properties?.['a']?.length,
      1170,
    )
  })

  test('a value that is longer than the bound is left out, what came before it is kept', () => {
    const received = receivedPropertiesOf({
      contentType: 'c',
      userProperties: { a: 'x', b: 'y'.repeat(60_000), c: 'z' },
    })
    assert.deepEqual(received, { content_type: 'c', user_properties: { a: 'x' }, truncated: true })
  })
})
