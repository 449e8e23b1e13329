import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import type { IssuerKey } from '#src/envelope/open.ts'
import { SUITE_NAMES } from '#src/envelope/suites.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { type Forgery, forge, open } from './forge.ts'
import { issuerMap, makeIssuer, makeParties, NOW_S, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(provider)
const { published } = parties.issuer

const keys: { why: string; key: Partial<IssuerKey>; code?: ErrorCode }[] = [
  { why: 'revoked', key: { state: 'revoked' } },
  { why: 'for the audit', key: { use: 'audit' } },
  { why: 'published after the envelope', key: { notBefore: NOW_S + 1 } },
  { why: 'retired before the envelope', key: { state: 'retired', notAfter: NOW_S - 1 } },
  { why: 'of another name', key: { keyId: 'sig_two' }, code: 'envelope.issuer_unknown' },
]
for (const { why, key, code } of keys) {
  test(`an envelope is refused when its issuer key is ${why}, by readers and auditors`, async () => {
    const envelope = await forge(parties)
    const changed = [{ ...published, ...key }]
    assert.throws(() => open(parties, envelope, {}, changed), refusal(code))
    assert.throws(() => verifyOrigin(provider, envelope, issuerMap(...changed)), refusal(code))
    assert.deepEqual(open(parties, envelope, {}, [published]).plaintext, PLAINTEXT)
    assert.equal(verifyOrigin(provider, envelope, issuerMap(published)).rid, 'req_one')
  })
}

for (const state of ['next', 'active', 'retired'] as const) {
  test(`an envelope opens while its issuer key is ${state}`, async () => {
    const key = { ...published, state, notAfter: NOW_S }
    assert.deepEqual(open(parties, await forge(parties), {}, [key]).plaintext, PLAINTEXT)
  })
}

const storedKinds = [
  { claims: { op: 'stored.message', sub: 'sub_one', seq: 1, exp: NOW_S + 86_400 }, sub: 'sub_one' },
  { claims: { op: 'stored.object', sub: null, exp: null }, sub: null },
] as const
for (const { claims, sub } of storedKinds) {
  test(`a ${claims.op} opens after its issuer key was revoked, marked as such, and on its HMAC only`, async () => {
    const stored = { ...claims, rqh: null, st: null }
    const expected = { op: claims.op, sub, rqh: null }
    const revoked = [{ ...published, state: 'revoked' as const }]
    const envelope = await forge(parties, { claims: stored })
    assert.equal(open(parties, envelope, expected, revoked).isIssuerRevoked, true)
    assert.equal(open(parties, envelope, expected).isIssuerRevoked, false)
    assert.throws(() => verifyOrigin(provider, envelope, issuerMap(...revoked)), refusal())
    const stranger = { ...makeIssuer(provider, 'two').published, keyId: published.keyId, state: 'revoked' as const }
    assert.equal(open(parties, envelope, expected, [stranger]).isIssuerRevoked, true)
    const wrongMac = await forge(parties, { claims: stored, mac: provider.macKey(new Uint8Array(64)) })
    assert.throws(() => open(parties, wrongMac, expected, revoked), refusal())
    const retired = [{ ...published, state: 'revoked' as const, notAfter: NOW_S - 1 }]
    assert.throws(() => open(parties, envelope, expected, retired), refusal())
  })
}

const kindsThatEnd = ['stream.event', 'webhook.delivery'] as const
for (const op of kindsThatEnd) {
  test(`a ${op} of a revoked issuer key is refused`, async () => {
    const seq = op === 'stream.event' ? 1 : null
    const envelope = await forge(parties, { claims: { op, rqh: null, st: null, seq } })
    const expected = { op, rqh: null }
    assert.throws(() => open(parties, envelope, expected, [{ ...published, state: 'revoked' }]), refusal())
    assert.equal(open(parties, envelope, expected).isIssuerRevoked, false)
  })
}

const strangerSeeds = ['version 1', 'sign', 'audit', 'root']
const signatures: { why: string; forgery: Forgery }[] = [
  ...strangerSeeds.map((seed) => ({
    why: `by the ${seed} key`,
    forgery: { signing: makeIssuer(provider, seed).signing },
  })),
  { why: 'with an empty context', forgery: { context: '' } },
  { why: 'with the context of version 1', forgery: { context: 'sealwire/envelope/v1' } },
  { why: 'with the context of version 3', forgery: { context: 'sealwire/envelope/v3' } },
  { why: 'as caller data, by the right key', forgery: { context: 'sealwire/sign/v1' } },
  { why: 'as a key document, by the right key', forgery: { context: 'sealwire/keys/v1' } },
  { why: 'over a root with another label', forgery: { rootLabel: 'sealwire/envelope/v2' } },
]
const readers = [provider, nobleProvider].flatMap((one) => SUITE_NAMES.map((suite) => makeParties(one, suite)))
assert.equal(readers.length, 4)
for (const { why, forgery } of signatures) {
  test(`a perfect envelope signed ${why} is refused, by readers and auditors, of every suite`, async () => {
    for (const of of readers) {
      const envelope = await forge(of, forgery)
      const issuers = issuerMap(of.issuer.published)
      assert.throws(() => open(of, envelope), refusal())
      assert.throws(() => verifyOrigin(of.provider, envelope, issuers), refusal())
      const twin = await forge(of)
      assert.deepEqual(open(of, twin).plaintext, PLAINTEXT)
      assert.equal(verifyOrigin(of.provider, twin, issuers).op, 'proxy.publish')
    }
  })
}

test('an envelope with the HMAC of another key is refused by its reader; an auditor sees who made it', async () => {
  const envelope = await forge(parties, { mac: provider.macKey(new Uint8Array(64)) })
  assert.throws(() => open(parties, envelope), refusal())
  assert.equal(verifyOrigin(provider, envelope, issuerMap(published)).aud, 'rcp_one')
  assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
})

test('the HMAC is computed even when ML-DSA did not verify', async (t) => {
  const { reader } = parties.recipient
  const mac = t.mock.fn(reader.mac.mac)
  const watched = {
    ...parties,
    recipient: { ...parties.recipient, reader: { ...reader, mac: { ...reader.mac, mac } } },
  }
  const bad = await forge(parties, { signing: makeIssuer(provider, 'two').signing })
  assert.throws(() => open(watched, bad), refusal())
  assert.equal(mac.mock.callCount(), 1)
})

test('verifyOrigin refuses what is no envelope', () => {
  for (const value of [null, {}, [], 'text']) {
    assert.throws(() => verifyOrigin(provider, value, issuerMap(published)), refusal())
  }
})
