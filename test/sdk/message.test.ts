import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { Sealwire, UnprotectedError } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareSuccess, type Responder, refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const ID = 'msg_01kat4hvr07rf9mm9f7nrvz4gg'
const AT = '2026-11-21T09:00:12.000700Z'
const STATUS = {
  message_id: ID,
  integration_id: 'int_01kat4hvr07rf9mm9f7nrvz4gg',
  request_id: 'req_01kat4hvr07rf9mm9f7nrvz4gg',
  state: 'acknowledged',
  reason_code: 0,
  code: 'outcome.unknown',
  topic: 'sensors/temperature',
  qos: 1,
  retain: false,
  intended_at: AT,
  settled_at: AT,
  late: { state: 'acknowledged', reason_code: 0, at: AT },
}
const claims = { op: 'messages.get', sub: ID }
const tells: Responder = (request) => stub.sealed(request, success(STATUS), { claims })

const clientWith = (options: { recipient?: typeof stub.recipient }) =>
  new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', clock: impatientClock(), ...options })
const client = clientWith({ recipient: stub.recipient })

beforeEach(() => {
  stub.reset()
  stub.answerWith(tells)
})

test('message asks without a body, and returns the opened answer in camelCase', async () => {
  const { result, envelope } = await client.proxy.message(ID)
  assert.deepEqual(
    [result.messageId, result.state, result.code, result.intendedAt, result.late],
    [ID, 'acknowledged', 'outcome.unknown', AT, { state: 'acknowledged', reasonCode: 0, at: AT }],
  )
  assert.equal(envelope.version, 2)
  const [request] = stub.seen
  assert.deepEqual([request?.method, request?.url, request?.body.length], ['GET', `/api/v2/proxy/messages/${ID}`, 0])
  assert.equal(request?.headers['idempotency-key'], undefined)
})

test('an id is one segment of the path, whatever is in it', async () => {
  await client.proxy.message(`${ID}.17/../../vault?x=1`)
  assert.equal(stub.seen[0]?.url, `/api/v2/proxy/messages/${ID}.17%2F..%2F..%2Fvault%3Fx%3D1`)
})

test('no such message is a refusal out of an envelope', async () => {
  stub.answerWith((request) => stub.sealed(request, refusal('object.not_found'), { status: 404, claims }))
  const error = await failureOf(client.proxy.message(ID))
  assert.deepEqual([error.code, error.outcome, error.status], ['object.not_found', 'rejected', 404])
})

test('a bare answer proves nothing', async () => {
  stub.answerWith(() => bareSuccess(STATUS))
  assert.ok((await failureOf(client.proxy.message(ID))) instanceof UnprotectedError)
})

test('the answer to another operation is refused, also for the same message', async () => {
  stub.answerWith((request) => stub.sealed(request, success(STATUS)))
  assert.equal((await failureOf(client.proxy.message(ID))).code, 'envelope.mismatch')
})

test('without a recipient nothing is asked', async () => {
  assert.equal((await failureOf(clientWith({}).proxy.message(ID))).code, 'recipient.required')
  assert.equal(stub.seen.length, 0)
})
