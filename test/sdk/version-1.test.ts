import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { toBase64 } from '#src/core/base64.ts'
import { utf8 } from '#src/core/bytes.ts'
import { newId, uuidOfId } from '#src/core/ids.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { ML_KEM_SUITE } from '#src/envelope/suites.ts'
import { sealVersion1, version1MacKey } from '#src/envelope/version-1.ts'
import { Sealwire, type Version1Keys } from '#src/sdk/index.ts'
import { parseVersion1Keys } from '#src/sdk/version-1.ts'
import { failureOf, impatientClock } from '#test/support/sdk-calls.ts'
import { bareSuccess, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
after(() => stub.close())

const nowS = () => Math.floor(Date.now() / 1000)
const TENANT = stub.recipient.tenantId

/** A set of keys from both sides. */
function makeSet() {
  const seed = provider.randomBytes(64)
  const secret = provider.randomBytes(64)
  const kem = provider.kemPublicKey(provider.kemPrivateKey(seed).publicKey)
  assert.ok(kem)
  const signing = provider.signingKey(provider.randomBytes(32))
  const verify = provider.verifyKey(signing.publicKey) ?? assert.fail()
  const hmacKey = version1MacKey(provider, secret)
  const ids = { id: newId('rcp'), kem_key_id: newId('kem'), signing_key_id: newId('sig'), mac_key_id: newId('mac') }
  const wire = {
    ...ids,
    envelope_version: 1,
    tenant_uuid: uuidOfId(TENANT),
    signing_public_key: toBase64(signing.publicKey),
    kem_seed: toBase64(seed),
    hmac_secret: toBase64(secret),
    hmac_key: toBase64(hmacKey),
  }
  return { wire, sealing: { kem, signing, verify, mac: provider.macKey(hmacKey) }, keys: parseVersion1Keys(wire) }
}
type KeySet = ReturnType<typeof makeSet>

const set = makeSet()
const ANSWER = success({ outcome: 'acknowledged' })

function contextOf({ wire }: KeySet, members: Record<string, unknown> = {}): Record<string, unknown> {
  const iat = nowS()
  const ids = { tid: TENANT, kem: wire.kem_key_id, sig: wire.signing_key_id, mac: wire.mac_key_id, aud: wire.id }
  const about = { op: 'proxy.outbound', sub: null, rid: newId('req'), rqh: null, st: 200, seq: null }
  return { v: 1, suite: ML_KEM_SUITE, ...ids, ...about, iat, exp: iat + 300, ...members }
}
const seal = (one: KeySet, plaintext: unknown) =>
  sealVersion1(provider, one.sealing, one.wire.tenant_uuid, utf8(JSON.stringify(plaintext)))
const sealAnswer = (members: Record<string, unknown> = {}, one = set) =>
  seal(one, { ctx: contextOf(one, members), data: ANSWER })

const client = () => new Sealwire({ baseUrl: stub.url, provider: nobleProvider, clock: impatientClock() })
const allowed = { allowVersion1: true, version1Keys: [set.keys] } as const

test('an envelope of version 1 opens with allowVersion1 and the exported keys, and not without', async () => {
  const envelope = await sealAnswer()
  const { answer, header } = await client().encryption.decrypt(envelope, allowed)
  assert.deepEqual(answer, { success: true, data: { outcome: 'acknowledged' } })
  assert.deepEqual([header.v, header.op, header.st, header.tid], [1, 'proxy.outbound', 200, TENANT])

  const reader = new Sealwire({ baseUrl: stub.url, recipient: stub.recipient, clock: impatientClock() })
  for (const options of [{}, { allowVersion1: false }, { version1Keys: [set.keys] }]) {
    assert.equal((await failureOf(reader.encryption.decrypt(envelope, options))).code, 'envelope.rejected')
  }
  assert.equal(
    (await failureOf(client().encryption.decrypt(envelope, { allowVersion1: true }))).code,
    'recipient.required',
  )
})

test('version 2 still opens as version 2 where version 1 is allowed', async () => {
  const someRequest = { method: 'POST', url: '/api/v2/proxy/outbound', headers: {}, body: new Uint8Array() }
  const reader = new Sealwire({ baseUrl: stub.url, recipient: stub.recipient, clock: impatientClock() })
  const { header } = await reader.encryption.decrypt(await stub.seal(someRequest, ANSWER), allowed)
  assert.equal(header.v, 2)
})

test('after a rotation the set that fits is found among those that are given', async () => {
  const [old, other] = [makeSet(), makeSet()]
  const version1Keys: Version1Keys[] = [other.keys, set.keys, old.keys]
  const opened = await client().encryption.decrypt(await sealAnswer({}, old), { allowVersion1: true, version1Keys })
  assert.equal(opened.header.aud, old.keys.id)
})

test('it opens once, however it is written', async () => {
  const sdk = client()
  const envelope = await sealAnswer()
  await sdk.encryption.decrypt(envelope, allowed)
  assert.equal((await failureOf(sdk.encryption.decrypt(envelope, allowed))).code, 'envelope.replay')
  const reordered = { signature: envelope.signature, encrypted: { ...envelope.encrypted } }
  assert.equal((await failureOf(sdk.encryption.decrypt(reordered, allowed))).code, 'envelope.replay')
})

describe('an authentic envelope of version 1 is refused by what its context says', () => {
  const cases: { what: string; members: Record<string, unknown>; code: string }[] = [
    { what: 'an old answer', members: { iat: nowS() - 400, exp: nowS() - 100 }, code: 'envelope.stale' },
    { what: 'one from the future', members: { iat: nowS() + 100, exp: nowS() + 200 }, code: 'envelope.stale' },
    { what: 'a life of 301 s', members: { iat: nowS(), exp: nowS() + 301 }, code: 'envelope.rejected' },
    { what: 'no end', members: { exp: null }, code: 'envelope.rejected' },
    { what: 'another tenant', members: { tid: newId('ten') }, code: 'envelope.rejected' },
    { what: 'another recipient', members: { aud: newId('rcp') }, code: 'envelope.rejected' },
    { what: 'another signing key', members: { sig: newId('sig') }, code: 'envelope.rejected' },
    { what: 'another MAC key', members: { mac: newId('mac') }, code: 'envelope.rejected' },
    { what: 'version 2', members: { v: 2 }, code: 'envelope.rejected' },
    { what: 'one more member', members: { alg: 'none' }, code: 'envelope.rejected' },
    { what: 'a status that is text', members: { st: '200' }, code: 'envelope.rejected' },
    { what: 'an enrolment', members: { op: 'recipients.enroll' }, code: 'envelope.mismatch' },
    {
      what: 'a stored object',
      members: { op: 'stored.object', sub: null, rqh: null, st: null, exp: null },
      code: 'envelope.rejected',
    },
    { what: 'an event', members: { op: 'stream.event', sub: 'int_1', st: null, seq: 1 }, code: 'envelope.mismatch' },
  ]
  for (const { what, members, code } of cases) {
    test(`${what}: ${code}; its twin opens`, async () => {
      const error = await failureOf(client().encryption.decrypt(await sealAnswer(members), allowed))
      assert.deepEqual([error.code, error.outcome], [code, 'rejected'])
      await client().encryption.decrypt(await sealAnswer(), allowed)
    })
  }

  const plaintexts: { what: string; plaintext: unknown }[] = [
    { what: 'no context', plaintext: { data: ANSWER } },
    { what: 'no object', plaintext: [contextOf(set)] },
    { what: 'the bare answer of other servers of this format', plaintext: ANSWER },
  ]
  for (const { what, plaintext } of plaintexts) {
    test(`${what}: envelope.rejected`, async () => {
      const error = await failureOf(client().encryption.decrypt(await seal(set, plaintext), allowed))
      assert.equal(error.code, 'envelope.rejected')
    })
  }
})

test('another signer, another HMAC, and a flipped ciphertext get the one error', async () => {
  const [one, other] = [await sealAnswer(), await sealAnswer()]
  const { signing, verify, mac } = makeSet().sealing
  const forgedBySigner = { ...set, sealing: { ...set.sealing, signing, verify } }
  const forgedByMac = { ...set, sealing: { ...set.sealing, mac } }
  const forged = [
    await sealAnswer({}, forgedBySigner),
    await sealAnswer({}, forgedByMac),
    { ...one, signature: other.signature },
    { ...one, encrypted: { ...one.encrypted, ciphertext_data: other.encrypted.ciphertext_data } },
  ]
  for (const envelope of forged) {
    const error = await failureOf(client().encryption.decrypt(envelope, allowed))
    assert.deepEqual([error.code, error.message], ['envelope.rejected', 'Envelope did not verify.'])
  }
})

describe('recipients.exportVersion1', () => {
  const owner = () =>
    new Sealwire({ baseUrl: stub.url, apiKey: 'qs_test_key', recipient: stub.recipient, clock: impatientClock() })

  test('takes the keys from an envelope, and they open', async () => {
    stub.answerWith((request) => stub.sealed(request, success(set.wire), { claims: { op: 'recipients.export' } }))
    const keys = await owner().recipients.exportVersion1(set.wire.id)
    assert.equal(JSON.stringify(keys).includes(set.wire.kem_seed), false)
    assert.equal(stub.seen.at(-1)?.url, `/api/v2/recipients/${set.wire.id}/export`)
    assert.equal(stub.seen.at(-1)?.headers['idempotency-key'], undefined)
    await client().encryption.decrypt(await sealAnswer(), { allowVersion1: true, version1Keys: [keys] })
  })

  test('without an envelope they are not believed, and incomplete ones are refused by name', async () => {
    stub.answerWith(() => bareSuccess(set.wire))
    assert.equal((await failureOf(owner().recipients.exportVersion1(set.wire.id))).code, 'unprotected')
    assert.ok(Object.keys(set.wire).length > 0)
    for (const name of ['id', 'tenant_uuid', 'kem_key_id', 'kem_seed', 'signing_public_key', 'hmac_key']) {
      assert.throws(() => parseVersion1Keys({ ...set.wire, [name]: 'AAAA' }), new RegExp(`not complete: "${name}"`))
    }
  })

  test('listVersion1 reads the public halves', async () => {
    stub.answerWith(() => bareSuccess([{ id: set.wire.id, tenant_uuid: set.wire.tenant_uuid, state: 'active' }]))
    const [listed] = await owner().recipients.listVersion1()
    assert.deepEqual([listed?.id, listed?.tenantUuid], [set.wire.id, set.wire.tenant_uuid])
    assert.equal(stub.seen.at(-1)?.url, '/api/v2/recipients?envelope_version=1')
  })
})
