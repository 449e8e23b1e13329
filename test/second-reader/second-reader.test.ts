import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { SUITE_NAMES } from '#src/envelope/suites.ts'
import { sealVersion1, version1MacKey } from '#src/envelope/version-1.ts'
import { sealBatch } from '#test/envelope/batch.ts'
import { ANSWER, makeParties, NOW_S, PLAINTEXT, seedOf } from '#test/envelope/parties.ts'
import { urlOf } from '#test/vectors/files.ts'
import type { CollisionVectors } from '#test/vectors/make-collision-vectors.ts'
import type { EnvelopeVectors } from '#test/vectors/make-envelope-vectors.ts'
import type { KeyDocumentVectors } from '#test/vectors/make-key-document-vectors.ts'
import type { Version1Vectors } from '#test/vectors/make-version-1-vectors.ts'
import { Refused } from './decode.ts'
import { enrolmentProof, requestHash } from './enrol.ts'
import { decapsulatorOf } from './kem.ts'
import { openVersion1 } from './open-version-1.ts'
import { openVersion2, type Reader } from './open-version-2.ts'
import { type Issuer, readKeyDocument } from './signatures.ts'

const read = (name: string): unknown => JSON.parse(readFileSync(urlOf(name), 'utf8'))
const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const rejected = { code: 'envelope.rejected' }

const keyVectors = read('key-document.json') as KeyDocumentVectors
const issuers = readKeyDocument(keyVectors.document, keyVectors.root.fingerprint, keyVectors.now)

function readerOf({ recipient }: EnvelopeVectors): Reader {
  return {
    tid: recipient.tenant_id,
    aud: recipient.recipient_id,
    suite: recipient.suite,
    kem: recipient.kem_key_id,
    decapsulator: decapsulatorOf(recipient.suite, hex(recipient.kem_seed)),
    mac: recipient.mac_key_id,
    macKey: hex(recipient.mac_key),
  }
}

for (const file of ['envelope-v2.json', 'envelope-v2-x-wing.json']) {
  const vectors = read(file) as EnvelopeVectors
  const reader = readerOf(vectors)

  test(`the second reader computes keys, request hash and proof of ${file}`, () => {
    const { recipient, request, enrolment } = vectors
    assert.deepEqual(reader.decapsulator.ek, hex(recipient.ek))
    assert.equal(requestHash({ ...request, nonce: hex(request.nonce) }), request.rqh)
    assert.deepEqual(Buffer.from(enrolmentProof(reader), 'base64'), hex(enrolment.proof))
  })

  const all = vectors.batches.flatMap(({ envelopes }) => envelopes)
  assert.equal(all.length, 10)
  for (const [i, one] of all.entries()) {
    test(`the second reader opens envelope ${i} of ${file}`, () => {
      const { op, sub, rqh, iat: now } = JSON.parse(one.header) as { op: string; sub: string; rqh: string; iat: number }
      const opened = openVersion2(one.envelope, reader, issuers, { op, sub, rqh, now })
      assert.deepEqual(opened.plaintext, hex(one.plaintext))
      assert.deepEqual(opened.leaf, hex(one.leaf))
    })
  }
}

test('the second reader opens the GCM collision with the committed key only', () => {
  const { opens, refused, sides } = read('gcm-collision.json') as CollisionVectors
  const reader = readerOf(read('envelope-v2.json') as EnvelopeVectors)
  const open = (envelope: unknown) =>
    openVersion2(envelope, reader, issuers, { op: 'answer', now: keyVectors.now }).plaintext
  assert.deepEqual([opens.length, refused.length], [2, 2])
  for (const [i, envelope] of opens.entries()) assert.deepEqual(open(envelope), hex(sides[i]?.plaintext ?? ''))
  for (const envelope of refused) assert.throws(() => open(envelope), rejected)
})

test('the second reader opens the envelopes of version 1, and refuses each with one byte changed', () => {
  const { tenant, envelopes } = read('envelope-v1.json') as Version1Vectors
  const reader = {
    decapsulator: decapsulatorOf('ML-KEM-768', hex(tenant.kem_seed)),
    pub: hex(tenant.pub),
    macKey: hex(tenant.mac_key),
    tenantUuid: tenant.tenant_uuid,
  }
  assert.equal(envelopes.length, 2)
  for (const { envelope, plaintext } of envelopes) {
    assert.deepEqual(openVersion1(envelope, reader), hex(plaintext))
    const { encrypted, signature } = envelope
    for (const member of ['ciphertext_kem', 'ciphertext_data'] as const) {
      const bytes = Buffer.from(encrypted[member], 'base64')
      bytes[20] = (bytes[20] ?? 0) ^ 1
      const wrong = { encrypted: { ...encrypted, [member]: bytes.toString('base64') }, signature }
      assert.throws(() => openVersion1(wrong, reader), rejected)
    }
  }
})

test('the second reader believes no key document under another root, at another time, or changed', () => {
  const { document, root, now } = keyVectors
  const unknown = { code: 'envelope.issuer_unknown' }
  assert.throws(() => readKeyDocument(document, 'A'.repeat(64), now), unknown)
  assert.throws(() => readKeyDocument(document, root.fingerprint, now + 8 * 86_400), unknown)
  assert.throws(() => readKeyDocument(document, root.fingerprint, now - 61), unknown)
  const swapped = { ...document, signed: document.signed.replace(/^./, 'f') }
  assert.throws(() => readKeyDocument(swapped, root.fingerprint, now), unknown)
  assert.equal(issuers.size, 5)
})

for (const provider of [opensslProvider, nobleProvider]) {
  for (const suite of SUITE_NAMES) {
    test(`the second reader opens what ${provider.name} seals for ${suite}`, async () => {
      const parties = makeParties(provider, suite)
      const { sealing } = parties.recipient
      const seed = seedOf(provider, 'kem one', suite.startsWith('X-Wing') ? 32 : 64)
      const reader: Reader = {
        tid: sealing.tenantId,
        aud: sealing.recipientId,
        suite,
        kem: sealing.kemKeyId,
        decapsulator: decapsulatorOf(suite, Buffer.from(seed)),
        mac: sealing.macKeyId,
        macKey: Buffer.from(seedOf(provider, 'mac one', 64)),
      }
      const issuer: Issuer = {
        use: 'envelope-v2',
        pub: Buffer.from(parties.issuer.verify.bytes),
        nbf: NOW_S,
        naf: null,
        state: 'active',
      }
      const keys = new Map([[parties.issuer.keyId, issuer]])
      const sealed = await sealBatch(parties, 5)
      assert.equal(sealed.length, 5)
      for (const envelope of sealed) {
        const { op, sub, rqh } = ANSWER
        const opened = openVersion2(envelope, reader, keys, { op, sub, rqh, now: NOW_S })
        assert.deepEqual(opened.plaintext, Buffer.from(PLAINTEXT))
      }
      assert.throws(
        () => openVersion2({ ...sealed[0], version: 3 }, reader, keys, { op: 'answer', now: NOW_S }),
        Refused,
      )
    })
  }

  test(`the second reader opens what ${provider.name} seals in version 1`, async () => {
    const kem = provider.kemPrivateKey(seedOf(provider, 'kem', 64))
    const signing = provider.signingKey(seedOf(provider, 'sig', 32))
    const macKey = version1MacKey(provider, seedOf(provider, 'mac', 64))
    const publicKey = provider.kemPublicKey(kem.publicKey) ?? assert.fail()
    const verify = provider.verifyKey(signing.publicKey) ?? assert.fail()
    const keys = { kem: publicKey, signing, verify, mac: provider.macKey(macKey) }
    const tenantUuid = '019a9a3a-15c0-7000-8000-00000000000a'
    const reader = {
      decapsulator: decapsulatorOf('ML-KEM-768', Buffer.from(seedOf(provider, 'kem', 64))),
      pub: Buffer.from(signing.publicKey),
      macKey: Buffer.from(macKey),
      tenantUuid,
    }
    assert.deepEqual(
      openVersion1(await sealVersion1(provider, keys, tenantUuid, PLAINTEXT), reader),
      Buffer.from(PLAINTEXT),
    )
  })
}
