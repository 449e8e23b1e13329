import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const ID = 'msg_01kat4hvr07rf9mm9f7nrvz4gg'
const PUBLISHED = {
  outcome: 'partial',
  message_id: ID,
  integration_id: 'int_1',
  topic: null,
  items: [
    {
      index: 0,
      message_id: `${ID}.0`,
      outcome: 'acknowledged',
      no_subscribers: true,
      qos: 1,
      retain: false,
      reason_code: 16,
    },
    {
      index: 1,
      message_id: `${ID}.1`,
      outcome: 'denied',
      topic: 'a',
      qos: 1,
      retain: false,
      reason_code: null,
      error: { code: 'guard.refused', status: 429, message: 'No.', details: { retry_in: 1 }, retry_after: 2 },
    },
  ],
  counts: { acknowledged: 1, denied: 1 },
  sent_at: '2026-11-21T09:00:00.000Z',
  completed_at: '2026-11-21T09:00:00.004Z',
}
const client = () =>
  new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', recipient: stub.recipient, clock: impatientClock() })
const bodyOf = (index = 0) => JSON.parse(Buffer.from(stub.seen[index]?.body ?? []).toString())

beforeEach(() => {
  stub.reset()
  stub.answerWith((request) => stub.sealed(request, success(PUBLISHED), { status: 207 }))
})

test('publishBatch sends every message with its encoding, and the defaults once', async () => {
  await client().proxy.publishBatch({
    integrationId: 'int_1',
    topic: 'a',
    qos: 1,
    properties: { contentType: 'text/plain', correlationData: new Uint8Array([1]) },
    messages: [
      { message: '22.5' },
      { message: new Uint8Array([0, 255]), encoding: 'json' },
      { message: { roomTemperature: 1 }, topic: 'b', qos: 2, retain: true },
      { message: 'eA==', encoding: 'base64', properties: { messageExpiry: 5, userProperties: { roomName: 'x' } } },
    ],
  })
  assert.deepEqual(bodyOf(), {
    integration_id: 'int_1',
    operation: 'publish',
    payload: {
      topic: 'a',
      qos: 1,
      properties: { content_type: 'text/plain', correlation_data: 'AQ==' },
      messages: [
        { message: '22.5', encoding: 'utf8' },
        { message: 'AP8=', encoding: 'base64' },
        { message: { roomTemperature: 1 }, encoding: 'json', topic: 'b', qos: 2, retain: true },
        { message: 'eA==', encoding: 'base64', properties: { message_expiry: 5, user_properties: { roomName: 'x' } } },
      ],
    },
  })
  assert.match(String(stub.seen[0]?.headers['idempotency-key']), /^[A-Za-z0-9_:-]+$/)
})

test('an encoding of the batch is that of messages without one, bytes excepted', async () => {
  const messages = [{ message: 'eA==' }, { message: new Uint8Array([1]) }, { message: 'x', encoding: 'utf8' as const }]
  await client().proxy.publishBatch({ integrationId: 'int_1', encoding: 'base64', messages })
  assert.deepEqual(bodyOf().payload, {
    messages: [
      { message: 'eA==', encoding: 'base64' },
      { message: 'AQ==', encoding: 'base64' },
      { message: 'x', encoding: 'utf8' },
    ],
  })
})

test('a partial batch is a result with every item in camelCase; what belongs to others keeps its names', async () => {
  const { result, envelope } = await client().proxy.publishBatch({
    integrationId: 'int_1',
    messages: [{ message: 'x' }],
  })
  assert.equal(result.outcome, 'partial')
  assert.deepEqual(result.counts, { acknowledged: 1, denied: 1 })
  assert.deepEqual(result.items[0], {
    index: 0,
    messageId: `${ID}.0`,
    outcome: 'acknowledged',
    noSubscribers: true,
    qos: 1,
    retain: false,
    reasonCode: 16,
  })
  assert.deepEqual(result.items[1]?.error, {
    code: 'guard.refused',
    status: 429,
    message: 'No.',
    details: { retry_in: 1 },
    retryAfter: 2,
  })
  assert.equal(result.completedAt, PUBLISHED.completed_at)
  assert.equal(envelope.version, 2)
})

test('a batch of which nothing went out is thrown, and an unknown one says so', async () => {
  stub.answerWith((request) =>
    stub.sealed(request, refusal('outcome.unknown', { message_id: ID, counts: { unknown: 2 } }), { status: 504 }),
  )
  const error = await failureOf(client().proxy.publishBatch({ integrationId: 'int_1', messages: [{ message: 'x' }] }))
  assert.deepEqual([error.code, error.outcome], ['outcome.unknown', 'unknown'])
  assert.deepEqual(error.details, { message_id: ID, counts: { unknown: 2 } })
})

test('attempts of one batch carry one key', async () => {
  let calls = 0
  stub.answerWith((request) =>
    ++calls === 1
      ? stub.sealed(request, refusal('broker.unreachable'), { status: 503 })
      : stub.sealed(request, success(PUBLISHED), { status: 207 }),
  )
  await client().proxy.publishBatch({ integrationId: 'int_1', messages: [{ message: 'x' }] })
  const keys = stub.seen.map(({ headers }) => headers['idempotency-key'])
  assert.equal(keys.length, 2)
  assert.equal(keys[0], keys[1])
})

test('dryRunBatch sends nothing and answers every decision', async () => {
  const item = { index: 0, allowed: true, qos: 1, retain: false, reason: 'rule', rule: 'r', guard: null }
  const answer = {
    dry_run: true,
    allowed: true,
    operation: 'publish',
    policy_id: 'pol_1',
    policy_revision: 2,
    items: [item],
  }
  stub.answerWith((request) => stub.sealed(request, success(answer)))
  const { result } = await client().proxy.dryRunBatch({ integrationId: 'int_1', messages: [{ message: 'x' }] })
  assert.equal(bodyOf().dry_run, true)
  assert.deepEqual([result.allowed, result.policyRevision, result.items], [true, 2, [item]])
})
