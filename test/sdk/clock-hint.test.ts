import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { clockHint } from '#src/sdk/clock-hint.ts'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const INPUT = { integrationId: 'int_1', topic: 'a', message: '1' } as const
const nowS = () => Math.floor(Date.now() / 1000)

/** A client whose clock is off by so much. */
function client(offMs = 0): Sealwire {
  const { url: baseUrl, recipient } = stub
  const clock = { ...impatientClock(), now: () => Date.now() + offMs }
  return new Sealwire({ baseUrl, apiKey: 'qs_test_key', recipient, clock, maxRetries: 0 })
}
const minutes = (count: number) => count * 60_000

describe('clockHint says how far the clock is off, beyond what readers allow', () => {
  const cases = [
    { skewMs: undefined, hint: undefined },
    { skewMs: 60_000, hint: undefined },
    { skewMs: -60_000, hint: undefined },
    { skewMs: 61_000, hint: 'By the HTTP Date of the server, your clock is 61 seconds behind.' },
    { skewMs: -7 * 60_000, hint: 'By the HTTP Date of the server, your clock is 7 minutes ahead.' },
    { skewMs: 2 * 3_600_000, hint: 'By the HTTP Date of the server, your clock is 2 hours behind.' },
    { skewMs: 400 * 86_400_000, hint: 'By the HTTP Date of the server, your clock is 400 days behind.' },
  ]
  for (const { skewMs, hint } of cases) test(`${skewMs} ms`, () => assert.equal(clockHint(skewMs), hint))
})

test('an answer that is not of this time, by a clock that is 7 minutes ahead: the message says so', async () => {
  stub.answerWith((request) => stub.sealed(request, success({})))
  const error = await failureOf(client(minutes(7)).proxy.publish(INPUT))
  assert.deepEqual([error.code, error.outcome], ['envelope.stale', 'unknown'])
  assert.match(error.message, /not of this time\. By the HTTP Date of the server, your clock is 7 minutes ahead\.$/)
  assert.match(error.hint ?? '', /7 minutes ahead/)
  await client().proxy.publish(INPUT)
})

test('a clock that is 7 minutes behind meets a key document of the future: that message says so too', async () => {
  stub.answerWith((request) => stub.sealed(request, success({})))
  const error = await failureOf(client(minutes(-7)).proxy.publish(INPUT))
  assert.deepEqual([error.code, error.outcome, stub.seen.length], ['envelope.issuer_unknown', 'rejected', 0])
  assert.match(error.message, /your clock is 7 minutes behind\.$/)
})

test('an old answer by a right clock gets no hint', async () => {
  stub.answerWith((request) => stub.sealed(request, success({}), { claims: { iat: nowS() - 420 } }))
  const error = await failureOf(client().proxy.publish(INPUT))
  assert.deepEqual([error.code, error.hint], ['envelope.stale', undefined])
  assert.doesNotMatch(error.message, /clock/)
})

test('a kept envelope of another time gets the hint from the key document that was fetched for it', async () => {
  const someRequest = { method: 'POST', url: '/api/v2/proxy/outbound', headers: {}, body: new Uint8Array() }
  const envelope = await stub.seal(someRequest, success({}))
  const error = await failureOf(client(minutes(10)).encryption.decrypt(envelope))
  assert.equal(error.code, 'envelope.stale')
  assert.match(error.message, /your clock is 10 minutes ahead/)
})

describe('the Date of an answer decides nothing', () => {
  for (const date of [new Date(Date.now() + 3_600_000).toUTCString(), 'yesterday', 'x'.repeat(1000)]) {
    test(`${date.slice(0, 40)}: a good answer opens, an old one does not`, async () => {
      const headers = { Date: date }
      stub.answerInTurn(
        async (request) => ({ ...(await stub.sealed(request, success({ outcome: 'sent' }))), headers }),
        async (request) => ({
          ...(await stub.sealed(request, success({}), { claims: { iat: nowS() - 3_600 } })),
          headers,
        }),
      )
      const sdk = client()
      assert.equal((await sdk.proxy.publish(INPUT)).result.outcome, 'sent')
      assert.equal((await failureOf(sdk.proxy.publish(INPUT))).code, 'envelope.stale')
    })
  }
})
