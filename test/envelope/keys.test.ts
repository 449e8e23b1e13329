import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import type { IssuerKey } from '#src/envelope/open.ts'
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
for (const { why, forgery } of signatures) {
  test(`a perfect envelope signed ${why} is refused, by readers and auditors`, async () => {
    const envelope = await forge(parties, forgery)
    assert.throws(() => open(parties, envelope), refusal())
    assert.throws(() => verifyOrigin(provider, envelope, issuerMap(published)), refusal())
    const twin = await forge(parties)
    assert.deepEqual(open(parties, twin).plaintext, PLAINTEXT)
    assert.equal(verifyOrigin(provider, twin, issuerMap(published)).op, 'proxy.publish')
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
  const watched = { ...parties, recipient: { ...parties.recipient, reader: { ...reader, mac: { mac } } } }
  const bad = await forge(parties, { signing: makeIssuer(provider, 'two').signing })
  assert.throws(() => open(watched, bad), refusal())
  assert.equal(mac.mock.callCount(), 1)
})

test('verifyOrigin refuses what is no envelope', () => {
  for (const value of [null, {}, [], 'text']) {
    assert.throws(() => verifyOrigin(provider, value, issuerMap(published)), refusal())
  }
})
