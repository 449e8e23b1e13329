import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { IPublishPacket } from 'mqtt-packet'
import { type Reply, refused, succeed } from '#test/support/api-server.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { openAnswer, type Plant, startPlant } from '#test/support/plant.ts'

let plant: Plant
let fake: FakeBroker
let atFake: string
let older: string

before(async () => {
  plant = await startPlant()
  fake = await startFakeBroker()
  const credential = { credential_id: await plant.sealCredential({ port: fake.port }) }
  atFake = (await plant.integrate({ ...credential, config: { topics: ['#'] } })).id
  older = (await plant.integrate({ ...credential, config: { topics: ['#'], protocol_version: 4 } })).id
})
after(async () => {
  await plant.close()
  await fake.stop()
})

/** Publishes with properties written as JSON text, so that nothing is lost on the way to the wire. */
function publish(properties: string, { id = atFake, payload = '"message":"x"' } = {}): Promise<Reply> {
  const body = `{"integration_id":"${id}","operation":"publish","payload":{"topic":"t/1","qos":1,${payload},"properties":${properties}}}`
  return plant.api.call('POST', '/api/v2/proxy/outbound', { body })
}

const published = () => fake.packetsOf('publish')

/** What of the properties the broker got, without the message id that is ours. */
function propertiesOf(packet: IPublishPacket | undefined): Record<string, unknown> {
  const { userProperties = {}, ...rest } = packet?.properties ?? {}
  const { 'sealwire-message-id': id, ...user } = userProperties
  assert.match(String(id), /^msg_/)
  return Object.keys(user).length === 0 ? rest : { ...rest, userProperties: user }
}

async function expectAtBroker(
  properties: string,
  expected: object,
  options?: Parameters<typeof publish>[1],
): Promise<void> {
  const count = published().length
  await succeed(publish(properties, options), 200)
  assert.equal(published().length, count + 1)
  assert.deepEqual(propertiesOf(published().at(-1)), expected)
}

async function expectRefused(
  properties: string,
  member: RegExp,
  options?: Parameters<typeof publish>[1],
): Promise<void> {
  const count = published().length
  const { json } = await refused(publish(properties, options), 400, 'request.invalid')
  assert.match(json.error.message, member)
  assert.equal(published().length, count, 'the broker got something')
}

const values = {
  '-1': '-1',
  '0': '0',
  'the highest expiry': '4294967295',
  'one more': '4294967296',
  'a fraction': '1.5',
  'no number that JSON can say': '1e400',
  text: '"text"',
  null: 'null',
  'a list': '[]',
  'an object': '{}',
  '65,536 bytes': `"${'x'.repeat(65_536)}"`,
} as const
type Value = keyof typeof values

/** The members, each with the values that it takes and what the broker then has. */
const members: Record<string, Partial<Record<Value, object>>> = {
  content_type: { text: { contentType: 'text' } },
  response_topic: { text: { responseTopic: 'text' } },
  correlation_data: { text: { correlationData: Buffer.from('text', 'base64') } },
  user_properties: { 'an object': {} },
  message_expiry: { '0': { messageExpiryInterval: 0 }, 'the highest expiry': { messageExpiryInterval: 4_294_967_295 } },
  payload_format: {},
  topic_alias: {},
  subscription_identifier: {},
  payload_format_indicator: {},
  will: {},
  userProperties: {},
  ['__proto__']: {},
}

describe('P3: every property, every kind of value', () => {
  for (const member of Object.keys(members)) {
    for (const [why, value] of Object.entries(values)) {
      const expected = members[member]?.[why as Value]
      test(`${member} ${why}: ${expected ? 'exactly that at the broker' : '400, and the broker gets nothing'}`, async () => {
        const properties = `{"${member}":${value}}`
        if (expected) await expectAtBroker(properties, expected)
        else await expectRefused(properties, /properties/)
      })
    }
    test(`${member} twice: 400`, () => expectRefused(`{"${member}":"utf8","${member}":"utf8"}`, /occurs twice/))
  }

  for (const value of ['null', '[]', '"text"', '7']) {
    test(`${value} in place of properties: 400`, () => expectRefused(value, /payload\.properties/))
  }

  const fill = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, 'v']))
  const bad: { why: string; properties: object | string; says: RegExp; payload?: string }[] = [
    { why: '10,000 user properties', properties: { user_properties: fill(10_000) }, says: /longer than 8192 bytes/ },
    {
      why: 'a nested user property',
      properties: { user_properties: { a: { b: 'c' } } },
      says: /user_properties: "a" must be a string/,
    },
    {
      why: 'a number in a list',
      properties: { user_properties: { a: ['b', 1] } },
      says: /user_properties: "a" must be/,
    },
    { why: 'an empty list', properties: { user_properties: { a: [] } }, says: /list of at least one/ },
    { why: 'a list of lists', properties: { user_properties: { a: [['b']] } }, says: /"a" must be/ },
    {
      why: 'an object as __proto__',
      properties: '{"user_properties":{"__proto__":{"polluted":1}}}',
      says: /"__proto__" must be/,
    },
    {
      why: 'a value with NUL',
      properties: { user_properties: { a: 'b\u0000' } },
      says: /user_properties: "a": name and value/,
    },
    {
      why: 'a name with a line break',
      properties: { user_properties: { 'a\n': 'b' } },
      says: /without control characters/,
    },
    {
      why: 'a name with a lone surrogate',
      properties: '{"user_properties":{"\\ud800":"b"}}',
      says: /well-formed Unicode/,
    },
    {
      why: 'a value of 65,536 bytes',
      properties: { user_properties: { a: 'x'.repeat(65_536) } },
      says: /longer than 8192/,
    },
    {
      why: 'a name of 65,536 bytes',
      properties: { user_properties: { ['x'.repeat(65_536)]: '' } },
      says: /longer than 8192/,
    },
    {
      why: 'our own user property',
      properties: { user_properties: { 'sealwire-message-id': 'x' } },
      says: /user_properties: sealwire-message-id/,
    },
    {
      why: 'a content type with a lone surrogate',
      properties: '{"content_type":"\\udfff"}',
      says: /content_type: must be well-formed/,
    },
    {
      why: 'a content type with a non-character',
      properties: { content_type: 'a\uffff' },
      says: /content_type: must be/,
    },
    {
      why: 'base64 without padding',
      properties: { correlation_data: 'AP8' },
      says: /correlation_data: must be canonical base64/,
    },
    { why: 'base64url', properties: { correlation_data: '_-8Q' }, says: /correlation_data: must be canonical base64/ },
    {
      why: '65,536 bytes of correlation data',
      properties: { correlation_data: Buffer.alloc(65_536).toString('base64') },
      says: /payload\.properties: longer than 8192/,
    },
    {
      why: 'a response topic with #',
      properties: { response_topic: 'a/#' },
      says: /response_topic: it holds a wildcard/,
    },
    {
      why: 'a response topic with +',
      properties: { response_topic: '+' },
      says: /response_topic: it holds a wildcard/,
    },
    { why: 'an empty response topic', properties: { response_topic: '' }, says: /response_topic: it is empty/ },
    { why: 'a shared response topic', properties: { response_topic: '$share/g/a' }, says: /response_topic: / },
    {
      why: 'a response topic beyond the limit',
      properties: { response_topic: 'x'.repeat(1025) },
      says: /response_topic: .*1024/,
    },
    { why: 'an unknown format', properties: { payload_format: 'json' }, says: /payload_format/ },
    {
      why: 'a payload that says utf8 and is none',
      properties: { payload_format: 'utf8' },
      payload: '"message":"/w==","encoding":"base64"',
      says: /payload_format: says utf8/,
    },
  ]
  for (const { why, properties, says, payload } of bad) {
    const text = typeof properties === 'string' ? properties : JSON.stringify(properties)
    test(`${why}: 400 that names it`, () => expectRefused(text, says, payload === undefined ? {} : { payload }))
  }

  const base64 = { payload: '"message":"/w==","encoding":"base64"' }
  test('payload_format: utf8 with text, bytes with bytes', async () => {
    await expectAtBroker('{"payload_format":"utf8"}', { payloadFormatIndicator: true })
    await expectAtBroker('{"payload_format":"bytes"}', { payloadFormatIndicator: false }, base64)
  })

  test('A35: __proto__, constructor, toString and length are names of user properties like any others', async () => {
    const count = published().length
    await succeed(
      publish('{"user_properties":{"__proto__":"p","constructor":["c","d"],"toString":"t","length":"l","":"e"}}'),
      200,
    )
    const user = published()[count]?.properties?.userProperties ?? {}
    const { 'sealwire-message-id': _, ...rest } = user
    assert.equal(JSON.stringify(rest), '{"__proto__":"p","constructor":["c","d"],"toString":"t","length":"l","":"e"}')
    assert.equal(({} as { polluted?: unknown }).polluted, undefined)
  })

  test('8,192 bytes in all pass, one more does not', async () => {
    const content = 'x'.repeat(8_189)
    await expectAtBroker(`{"content_type":"${content}"}`, { contentType: content })
    await expectRefused(`{"content_type":"${content}x"}`, /longer than 8192/)
  })

  test('after all of it, there is one connection, and it is in step', async () => {
    assert.equal(fake.connections.length, 1)
    assert.equal(fake.connections[0]?.socket.destroyed, false)
    await expectAtBroker('{}', {})
    assert.deepEqual([...new Set(published().map(({ topic }) => topic))], ['t/1'])
  })
})

test('on MQTT 3.1.1 they are refused and not stripped', async () => {
  await expectRefused('{"content_type":"a"}', /payload\.properties: MQTT 3\.1\.1 has none/, { id: older })
  await expectRefused('{}', /protocol_version/, { id: older })
})

test('a batch: properties of an item are judged as those of a message are, and the item is named', async () => {
  const messages = [
    { message: 'a', properties: { content_type: 'text/a' } },
    { message: 'b', properties: { response_topic: '#' } },
  ]
  const send = (given: object[]) =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: atFake, operation: 'publish', payload: { topic: 't/1', qos: 1, messages: given } },
    })
  const count = published().length
  const { json } = await refused(send(messages), 400, 'request.invalid')
  assert.match(json.error.message, /messages\[1\]\.properties\.response_topic/)
  await succeed(send(messages.slice(0, 1)))
  assert.deepEqual(
    published()
      .slice(count)
      .map(({ properties }) => properties?.contentType),
    ['text/a'],
  )
})

test('P20: a Will is no member of anything that a tenant writes, and no CONNECT has one', async () => {
  const will = { topic: 'forbidden/will', payload: 'gone', qos: 1, retain: true }
  const body = (more: object) => ({
    name: 'will',
    system_type: 'mqtt',
    credential_id: plant.credentialId,
    allowed_operations: ['publish'],
    config: { topics: ['#'] },
    ...more,
  })
  for (const more of [{ will }, { config: { topics: ['#'], will } }, { config: { topics: ['#'], lwt: will } }]) {
    await refused(plant.api.call('POST', '/api/v2/integrations', { body: body(more) }), 400, 'request.invalid')
  }
  await expectRefused('{}', /will/, { payload: `"message":"x","will":${JSON.stringify(will)}` })
  const connects = fake.packetsOf('connect')
  assert.ok(connects.length > 0)
  for (const connect of connects) assert.equal(connect.will, undefined)
})

test('all of them reach a subscriber of a real broker as they were, and come back through collect', async () => {
  const properties = {
    content_type: 'text/plain; charset=utf-8',
    response_topic: 'sensors/replies',
    correlation_data: 'AP8Q',
    user_properties: { 'room/é': 'kitchen', ['__proto__']: 'p', list: ['one', 'two', 'one'] },
    message_expiry: 3_600,
    payload_format: 'utf8',
  }
  const outbound = (operation: string, payload: object) =>
    plant.api.call('POST', '/api/v2/proxy/outbound', {
      body: { integration_id: plant.integrationId, operation, payload },
    })
  const retained = { topic: 'sensors/properties', message: 'wärmer', qos: 1, retain: true, properties }
  await succeed(outbound('publish', retained))
  const payload = { topic: 'sensors/properties', max_messages: 1 }
  const { data } = await openAnswer(plant.api, await succeed(outbound('subscribe', payload), 200))
  const [message] = data.messages
  const { user_properties: user, message_expiry: expiry, ...rest } = message.properties
  const { user_properties: sentUser, message_expiry: _, ...sent } = properties
  assert.deepEqual(rest, sent)
  assert.ok(expiry <= 3_600 && expiry > 3_500)
  const { 'sealwire-message-id': id, ...received } = user
  assert.match(id, /^msg_/)
  assert.equal(JSON.stringify(received), JSON.stringify(sentUser))
})
