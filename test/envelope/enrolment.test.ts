import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import type { ErrorCode } from '#src/core/errors.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { enrolmentData, enrolmentProof, openEnrolment } from '#src/envelope/enrolment.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import type { Expectation, IssuerKey } from '#src/envelope/open.ts'
import { type Forgery, forge, open } from './forge.ts'
import { ANSWER, issuerMap, makeIssuer, makeParties, makeRecipient, NOW_S, seedOf } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(provider)
const { reader, sealing } = parties.recipient
const macKey = seedOf(provider, 'mac one', 64)
const RQH = ANSWER.rqh ?? assert.fail()

const claims: Partial<ProtectedHeader> = { op: 'recipients.enroll', sub: null, st: 201 }
const data = enrolmentData(sealing, macKey)
const answer = (change: object = {}, success = true): Uint8Array =>
  utf8(JSON.stringify({ success, data: { ...data, ...change }, error: null }))
const good: Forgery = { claims, plaintext: answer() }

function enrol(envelope: unknown, change: { rqh?: string; nowS?: number; name?: string; suite?: string } = {}) {
  const { kem } = change.name === undefined ? reader : makeRecipient(provider, change.name).reader
  const expected = { rqh: change.rqh ?? RQH, nowS: change.nowS ?? NOW_S }
  const issuers = issuerMap(parties.issuer.published)
  return openEnrolment(provider, envelope, kem, change.suite ?? sealing.suite, issuers, expected)
}

for (const opener of [provider, nobleProvider]) {
  test(`an enrolment opens with ${opener.name} and gives ids and MAC key`, async () => {
    const { kem } = makeRecipient(opener, 'one').reader
    const issuers = issuerMap(makeIssuer(opener, 'one').published)
    const expected = { rqh: RQH, nowS: NOW_S }
    const opened = openEnrolment(opener, await forge(parties, good), kem, sealing.suite, issuers, expected)
    const { header, ...rest } = opened
    const { tenantId, recipientId, kemKeyId, macKeyId } = sealing
    assert.deepEqual(rest, { tenantId, recipientId, kemKeyId, macKeyId, macKey: Uint8Array.from(macKey) })
    assert.equal(header.op, 'recipients.enroll')
  })
}

const forgeries: { why: string; forgery: Forgery; code?: ErrorCode }[] = [
  {
    why: 'another operation, made with the MAC key inside',
    forgery: { claims: { op: 'proxy.publish' } },
    code: 'envelope.mismatch',
  },
  { why: 'the answer to another request', forgery: { claims: { rqh: 'x'.repeat(64) } }, code: 'envelope.mismatch' },
  { why: 'the answer to a request without nonce', forgery: { claims: { rqh: null } }, code: 'envelope.mismatch' },
  { why: 'an old one', forgery: { claims: { iat: NOW_S - 400, exp: NOW_S - 100 } }, code: 'envelope.stale' },
  { why: 'another recipient id inside', forgery: { plaintext: answer({ recipient_id: 'rcp_two' }) } },
  { why: 'another KEM key id inside', forgery: { plaintext: answer({ kem_key_id: 'kem_two' }) } },
  { why: 'another MAC key id inside', forgery: { plaintext: answer({ mac_key_id: 'mac_two' }) } },
  { why: 'another MAC key inside', forgery: { plaintext: answer({ mac_key: 'A'.repeat(86).concat('==') }) } },
  { why: 'a short MAC key inside', forgery: { plaintext: answer({ mac_key: 'AAAA' }) } },
  { why: 'no MAC key inside', forgery: { plaintext: answer({ mac_key: null }) } },
  { why: 'an answer that says no', forgery: { plaintext: answer({}, false) } },
  { why: 'no data', forgery: { plaintext: utf8('{"success":true,"data":null}') } },
  { why: 'null', forgery: { plaintext: utf8('null') } },
  { why: 'no JSON', forgery: { plaintext: utf8('{') } },
  {
    why: 'a duplicate member',
    forgery: {
      plaintext: utf8(new TextDecoder().decode(answer()).replace('{"success"', '{"success":false,"success"')),
    },
  },
  { why: 'an HMAC of another key', forgery: { mac: provider.macKey(new Uint8Array(64)) } },
  { why: 'a signature of another key', forgery: { signing: makeIssuer(provider, 'two').signing } },
  { why: 'an unknown signer', forgery: { claims: { sig: 'sig_two' } }, code: 'envelope.issuer_unknown' },
]
for (const { why, forgery, code } of forgeries) {
  test(`an enrolment is refused for ${why}, and its twin opens`, async () => {
    const bad = await forge(parties, { ...good, ...forgery, claims: { ...claims, ...forgery.claims } })
    assert.throws(() => enrol(bad), refusal(code))
    assert.equal(enrol(await forge(parties, good)).recipientId, 'rcp_one')
  })
}

test('an enrolment is refused with another KEM key or for another suite', async () => {
  const envelope = await forge(parties, good)
  assert.throws(() => enrol(envelope, { name: 'two' }), refusal())
  assert.throws(() => enrol(envelope, { suite: 'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512' }), refusal())
  assert.equal(enrol(envelope).kemKeyId, 'kem_one')
})

test('an enrolment is refused with an issuer key that is revoked, of another use, or not of its time', async () => {
  const envelope = await forge(parties, good)
  const { published } = parties.issuer
  const openWith = (key: Partial<IssuerKey>) => {
    const expected = { rqh: RQH, nowS: NOW_S }
    return openEnrolment(provider, envelope, reader.kem, sealing.suite, issuerMap({ ...published, ...key }), expected)
  }
  const bad: Partial<IssuerKey>[] = [
    { state: 'revoked' },
    { use: 'audit' },
    { notBefore: NOW_S + 1 },
    { notAfter: NOW_S - 1 },
  ]
  for (const key of bad) assert.throws(() => openWith(key), refusal())
  assert.equal(openWith({ notBefore: NOW_S, notAfter: NOW_S }).tenantId, 'ten_one')
})

test('an enrolment never opens as an answer, not even for a reader that has its MAC key', async () => {
  const envelope = await forge(parties, good)
  const expectations: Partial<Expectation>[] = [{ op: 'answer' }, { op: 'recipients.enroll' }]
  for (const expected of expectations) {
    assert.throws(() => open(parties, envelope, { ...expected, sub: null }), refusal('envelope.mismatch'))
    const other = await forge(parties, { ...good, claims: { ...claims, op: 'recipients.list' } })
    assert.ok(open(parties, other, { op: 'answer', sub: null }))
  }
})

test('a proof is of one recipient, one key and one MAC key, the same with both providers', () => {
  const { kem, mac } = sealing
  const proof = enrolmentProof(mac, 'rcp_one', kem.bytes)
  assert.equal(proof.length, 64)
  assert.deepEqual(enrolmentProof(makeRecipient(nobleProvider, 'one').sealing.mac, 'rcp_one', kem.bytes), proof)
  const two = makeRecipient(provider, 'two').sealing
  for (const other of [
    enrolmentProof(mac, 'rcp_two', kem.bytes),
    enrolmentProof(mac, 'rcp_one', two.kem.bytes),
    enrolmentProof(two.mac, 'rcp_one', kem.bytes),
  ]) {
    assert.notDeepEqual(other, proof)
  }
})
