import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const INPUT = { integrationId: 'int_01kat4hvr07rf9mm9f7nrvz4gg', topic: 'ask/1', message: 'ping' } as const
const REPLY = {
  topic: 'replies/1',
  message: 'pong',
  encoding: 'utf8',
  qos: 0,
  retain: false,
  properties: { content_type: 'text/plain', correlation_data: 'AP8=', user_properties: { some_name: ['a', 'b'] } },
  received_at: '2026-11-21T09:00:00.005Z',
}
const REQUESTED = {
  outcome: 'acknowledged',
  message_id: 'msg_01kat4hvr07rf9mm9f7nrvz4gg',
  integration_id: INPUT.integrationId,
  topic: INPUT.topic,
  qos: 1,
  retain: false,
  reason_code: 0,
  sent_at: '2026-11-21T09:00:00.000Z',
  acknowledged_at: '2026-11-21T09:00:00.004Z',
  response_topic: REPLY.topic,
  correlation_data: 'AP8=',
  reply: REPLY,
}

const client = () =>
  new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', recipient: stub.recipient, clock: impatientClock() })
const bodyOf = (at: number) => JSON.parse(Buffer.from(stub.seen[at]?.body ?? []).toString())

beforeEach(() => {
  stub.reset()
  stub.answerWith((request) => stub.sealed(request, success(REQUESTED)))
})

test('request sends message, properties and waiting time, and returns the reply in camelCase', async () => {
  const properties = {
    contentType: 'text/plain',
    correlationData: new Uint8Array([0, 255]),
    userProperties: { some_name: 'x', otherName: ['y'] },
    messageExpiry: 60,
  }
  const { result, envelope } = await client().proxy.request({ ...INPUT, qos: 1, waitMs: 2000, properties })
  assert.equal(envelope.version, 2)
  assert.deepEqual(
    [result.outcome, result.responseTopic, result.correlationData],
    ['acknowledged', 'replies/1', 'AP8='],
  )
  assert.equal(result.reply?.message, 'pong')
  assert.deepEqual(result.reply?.properties, {
    contentType: 'text/plain',
    correlationData: 'AP8=',
    userProperties: { some_name: ['a', 'b'] },
  })
  assert.deepEqual(bodyOf(0), {
    integration_id: INPUT.integrationId,
    operation: 'request',
    payload: {
      topic: 'ask/1',
      message: 'ping',
      encoding: 'utf8',
      qos: 1,
      wait_ms: 2000,
      properties: {
        content_type: 'text/plain',
        user_properties: { some_name: 'x', otherName: ['y'] },
        message_expiry: 60,
        correlation_data: 'AP8=',
      },
    },
  })
})

test('without a reply the outcome of the message is there, and why there is none', async () => {
  const none = { ...REQUESTED, reply: null, no_reply: 'timeout' }
  stub.answerWith((request) => stub.sealed(request, success(none)))
  const { result } = await client().proxy.request(INPUT)
  assert.deepEqual([result.outcome, result.reply, result.noReply], ['acknowledged', null, 'timeout'])
})

test('attempts of one request carry one idempotency key, and what nobody knows is thrown as unknown', async () => {
  stub.answerWith((request) => stub.sealed(request, refusal('outcome.unknown', { replied: true }), { status: 504 }))
  const error = await failureOf(client().proxy.request(INPUT))
  assert.deepEqual([error.outcome, error.details], ['unknown', { replied: true }])
  assert.equal(new Set(stub.seen.map(({ headers }) => headers['idempotency-key'])).size, 1)
})

test('publish sends properties; names of user properties are nobody else’s to change, __proto__ among them', async () => {
  const userProperties = JSON.parse('{"__proto__":"p","some_name":"x","otherName":["y","z"]}')
  await client().proxy.publish({
    ...INPUT,
    properties: { responseTopic: 'r', correlationData: 'AP8=', userProperties },
  })
  const { properties } = bodyOf(0).payload
  assert.equal(JSON.stringify(properties.user_properties), JSON.stringify(userProperties))
  assert.deepEqual([properties.response_topic, properties.correlation_data], ['r', 'AP8='])
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
})
