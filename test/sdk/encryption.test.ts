import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import { Sealwire } from '#src/sdk/index.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())
beforeEach(() => stub.reset())

const reader = () => new Sealwire({ baseUrl: stub.url, recipient: stub.recipient, clock: impatientClock() })
const nowS = () => Math.floor(Date.now() / 1000)
const someRequest = { method: 'POST', url: '/api/v2/proxy/outbound', headers: {}, body: new Uint8Array() }

describe('encryption.decrypt', () => {
  test('opens an answer once, without an API key; the second time it is a replay', async () => {
    const envelope = await stub.seal(someRequest, success({ outcome: 'sent' }), { status: 202 })
    const sdk = reader()
    const { answer, header } = await sdk.encryption.decrypt(envelope)
    assert.deepEqual(answer, { success: true, data: { outcome: 'sent' } })
    assert.deepEqual([header.op, header.st, header.tid], ['proxy.outbound', 202, stub.recipient.tenantId])
    assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'envelope.replay')
    assert.equal((await reader().encryption.decrypt(envelope)).header.st, 202, 'another reader has not seen it')
  })

  test('opens what proxy.publish returned', async () => {
    stub.answerWith((request) => stub.sealed(request, success({ outcome: 'sent' })))
    const sdk = new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', recipient: stub.recipient })
    const { envelope } = await sdk.proxy.publish({ integrationId: 'int_1', message: 'x' })
    assert.deepEqual((await sdk.encryption.decrypt(envelope)).answer, { success: true, data: { outcome: 'sent' } })
  })

  test('a refusal is opened like any answer', async () => {
    const envelope = await stub.seal(someRequest, refusal('policy.denied'), { status: 403 })
    const { answer } = await reader().encryption.decrypt(envelope)
    assert.deepEqual(answer, {
      success: false,
      code: 'policy.denied',
      message: 'refused: policy.denied',
      details: undefined,
    })
  })

  const event = { op: 'stream.event', sub: 'int_1', st: null, seq: 1 }
  const message = { op: 'stored.message', sub: 'sub_1', rqh: null, st: null, seq: 1 }
  const refused = [
    { what: 'an event of a stream', claims: event, code: 'envelope.mismatch' },
    { what: 'a stored message', claims: message, code: 'envelope.mismatch' },
    { what: 'an enrolment', claims: { op: 'recipients.enroll' }, code: 'envelope.mismatch' },
    { what: 'an answer of 400 s ago', claims: { iat: nowS() - 400 }, code: 'envelope.stale' },
    { what: 'an answer of 100 s from now', claims: { iat: nowS() + 100 }, code: 'envelope.stale' },
  ]
  for (const { what, claims, code } of refused) {
    test(`${what} is refused (${code}); its twin, a fresh answer, opens`, async () => {
      const error = await failureOf(reader().encryption.decrypt(await stub.seal(someRequest, success({}), { claims })))
      assert.deepEqual([error.code, error.outcome], [code, 'rejected'])
      await reader().encryption.decrypt(await stub.seal(someRequest, success({})))
    })
  }

  test('without a recipient it is refused, and says so', async () => {
    const sdk = new Sealwire({ baseUrl: stub.url, rootFingerprint: stub.deployment.root })
    const envelope = await stub.seal(someRequest, success({}))
    assert.equal((await failureOf(sdk.encryption.decrypt(envelope))).code, 'recipient.required')
  })

  test('what is no envelope gets the one error', async () => {
    const wrong = [null, [], 'text', {}, { version: 2 }, { version: 1, encrypted: {}, signature: {} }]
    for (const value of wrong)
      assert.equal((await failureOf(reader().encryption.decrypt(value))).code, 'envelope.rejected')
    assert.ok(wrong.length > 0)
  })
})

describe('encryption.verifyOrigin', () => {
  const auditor = () =>
    new Sealwire({ baseUrl: stub.url, rootFingerprint: stub.deployment.root, clock: impatientClock() })

  test('names who made an envelope, however old, with the pinned root alone', async () => {
    const envelope = await stub.seal(someRequest, success({}), { claims: { iat: nowS() - 5000 } })
    const header = await auditor().encryption.verifyOrigin(envelope)
    assert.equal(header.aud, stub.recipient.recipientId)
    assert.equal((await auditor().encryption.verifyOrigin(envelope)).rid, header.rid)
  })

  test('refuses an envelope that another deployment signed', async () => {
    const envelope = await stub.seal(someRequest, success({}), { issuer: stub.deployment.makeKey() })
    assert.equal((await failureOf(auditor().encryption.verifyOrigin(envelope))).code, 'envelope.issuer_unknown')
  })

  test('without any pinned root it is refused', async () => {
    const sdk = new Sealwire({ baseUrl: stub.url })
    const envelope = await stub.seal(someRequest, success({}))
    assert.equal((await failureOf(sdk.encryption.verifyOrigin(envelope))).code, 'envelope.issuer_unknown')
  })
})
