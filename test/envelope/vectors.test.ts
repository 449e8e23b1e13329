import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { fromHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { enrolmentProof } from '#src/envelope/enrolment.ts'
import { deriveEnvelopeKeys } from '#src/envelope/envelope-keys.ts'
import { encodeHeader, parseHeader } from '#src/envelope/header.ts'
import { openKeyDocument, rootFingerprint } from '#src/envelope/key-document.ts'
import { merkleTree } from '#src/envelope/merkle.ts'
import { type IssuerKey, openEnvelope, type ReaderRecipient } from '#src/envelope/open.ts'
import { apiTarget, requestHash } from '#src/envelope/request-hash.ts'
import { findSuite } from '#src/envelope/suites.ts'
import { keyInfo, rootMessage, writeTranscript } from '#src/envelope/transcript.ts'
import { verifyOrigin } from '#src/envelope/verify-origin.ts'
import { toText, urlOf, vectorFiles } from '#test/vectors/files.ts'
import type { CollisionVectors } from '#test/vectors/make-collision-vectors.ts'
import type { EnvelopeVectors } from '#test/vectors/make-envelope-vectors.ts'
import type { KeyDocumentVectors } from '#test/vectors/make-key-document-vectors.ts'
import { refusal } from './refusal.ts'

const read = (name: string): string => readFileSync(urlOf(name), 'utf8')
const suiteVectors = ['envelope-v2.json', 'envelope-v2-x-wing.json'].map(
  (name) => JSON.parse(read(name)) as EnvelopeVectors,
)
const [mlKemVectors] = suiteVectors as [EnvelopeVectors]
const keyVectors = JSON.parse(read('key-document.json')) as KeyDocumentVectors
const collision = JSON.parse(read('gcm-collision.json')) as CollisionVectors
const bytes = (hex: string): Bytes => fromHex(hex) ?? assert.fail('not hexadecimal')

function readerOf(provider: CryptoProvider, { recipient }: EnvelopeVectors): ReaderRecipient {
  const suite = findSuite(recipient.suite) ?? assert.fail('suite')
  return {
    tenantId: recipient.tenant_id,
    recipientId: recipient.recipient_id,
    suite: recipient.suite,
    kemKeyId: recipient.kem_key_id,
    kem: suite.privateKey(provider, bytes(recipient.kem_seed)),
    macKeyId: recipient.mac_key_id,
    mac: provider.macKey(bytes(recipient.mac_key)),
  }
}

const issuersOf = (provider: CryptoProvider): ReadonlyMap<string, IssuerKey> =>
  openKeyDocument(provider, keyVectors.document, keyVectors.root.fingerprint, keyVectors.now)

for (const { name, make } of vectorFiles) {
  test(`${name} is what its script makes`, () => assert.equal(read(name), toText(make())))
}

const runs = [opensslProvider, nobleProvider].flatMap((provider) =>
  suiteVectors.map((vectors) => ({
    provider,
    vectors,
    name: `${provider.name}, ${findSuite(vectors.recipient.suite)?.algorithm}`,
  })),
)
assert.equal(new Set(runs.map(({ name }) => name)).size, 4)

for (const { provider, vectors, name } of runs) {
  assert.deepEqual(
    vectors.batches.map((batch) => batch.tree_size),
    [1, 2, 7],
  )

  test(`${name}: keys, request hash and enrolment proof are those of the vectors`, () => {
    const { recipient, issuer, request, enrolment } = vectors
    const reader = readerOf(provider, vectors)
    assert.deepEqual(reader.kem.publicKey, bytes(recipient.ek))
    assert.deepEqual(provider.signingKey(bytes(issuer.seed)).publicKey, bytes(issuer.pub))
    const target = apiTarget(`/prefix${request.target}`)
    const sent = { nonce: bytes(request.nonce), method: request.method, target, body: utf8(request.body) }
    assert.equal(requestHash(provider, sent), request.rqh)
    assert.deepEqual(enrolmentProof(reader.mac, recipient.recipient_id, bytes(recipient.ek)), bytes(enrolment.proof))
  })

  for (const batch of vectors.batches) {
    assert.equal(batch.envelopes.length, batch.tree_size)

    test(`${name}: root, proofs and signature of a tree of ${batch.tree_size} are those of the vectors`, () => {
      const { root, proofs } = merkleTree(
        provider,
        batch.envelopes.map(({ leaf }) => bytes(leaf)),
      )
      assert.deepEqual(root, bytes(batch.root))
      assert.deepEqual(
        proofs,
        batch.envelopes.map(({ hashes }) => hashes.map(bytes)),
      )
      const message = rootMessage(batch.tree_size, root)
      assert.deepEqual(message, bytes(batch.root_message))
      const key = issuersOf(provider).get(vectors.issuer.key_id)?.key
      assert.ok(key?.verify(message, utf8('sealwire/envelope/v2'), bytes(batch.pqc_signature)))
    })

    for (const [index, one] of batch.envelopes.entries()) {
      test(`${name}: every step of envelope ${index} of ${batch.tree_size} is that of the vectors`, () => {
        const reader = readerOf(provider, vectors)
        const protectedBytes = utf8(one.header)
        const header = parseHeader(protectedBytes) ?? assert.fail('header')
        assert.deepEqual(encodeHeader(header), protectedBytes)
        assert.deepEqual(keyInfo(protectedBytes), bytes(one.info))
        const ciphertextKem = bytes(one.ciphertext_kem)
        const sharedSecret = reader.kem.decapsulate(ciphertextKem)
        assert.deepEqual(sharedSecret, bytes(one.shared_secret))
        assert.deepEqual(provider.sha512(concatBytes(ciphertextKem, reader.kem.publicKey)), bytes(one.salt))
        assert.deepEqual(provider.hkdfSha512(sharedSecret, bytes(one.salt), bytes(one.info), 64), bytes(one.okm))
        const kemPublicKey = reader.kem.publicKey
        const keys = deriveEnvelopeKeys(provider, { sharedSecret, ciphertextKem, kemPublicKey, protectedBytes })
        assert.deepEqual(keys, { aesKey: bytes(one.aes_key), commitment: bytes(one.key_commitment) })
        const sealed = provider.aesGcmSeal(keys.aesKey, bytes(one.nonce), bytes(one.plaintext), protectedBytes)
        const ciphertextData = concatBytes(bytes(one.nonce), sealed)
        assert.deepEqual(ciphertextData, bytes(one.ciphertext_data))
        const parts = { protectedBytes, ciphertextKem, commitment: keys.commitment, ciphertextData }
        const { leafInput, transcript } = writeTranscript(parts)
        assert.deepEqual(Uint8Array.from(transcript), bytes(one.transcript))
        assert.deepEqual(provider.sha384(leafInput), bytes(one.leaf))
        assert.deepEqual(reader.mac.mac(transcript), bytes(one.hmac))
      })

      test(`${name}: envelope ${index} of ${batch.tree_size} verifies and opens`, () => {
        const { op, sub, rqh, iat } = parseHeader(utf8(one.header)) ?? assert.fail('header')
        const issuers = issuersOf(provider)
        const opened = openEnvelope(provider, one.envelope, readerOf(provider, vectors), issuers, {
          op,
          sub,
          rqh,
          nowS: iat,
        })
        assert.deepEqual(opened.plaintext, bytes(one.plaintext))
        assert.deepEqual(opened.leaf, bytes(one.leaf))
        assert.deepEqual(verifyOrigin(provider, one.envelope, issuers), opened.header)
      })
    }
  }
}

for (const provider of [opensslProvider, nobleProvider]) {
  test(`${provider.name}: the key document is that of the vectors`, () => {
    const { root, message, signature } = keyVectors
    assert.equal(rootFingerprint(provider, bytes(root.pub)), root.fingerprint)
    assert.deepEqual(provider.signingKey(bytes(root.seed)).publicKey, bytes(root.pub))
    const key = provider.verifyKey(bytes(root.pub))
    assert.ok(key?.verify(bytes(message), utf8('sealwire/keys/v1'), bytes(signature)))
    const states = [...issuersOf(provider).values()].map(({ use, state }) => `${use} ${state}`)
    const envelopeStates = ['active', 'next', 'retired', 'revoked'].map((state) => `envelope-v2 ${state}`)
    assert.deepEqual(states, [...envelopeStates, 'audit active'])
  })

  test(`${provider.name}: the frozen GCM collision opens with the committed key only`, () => {
    const { nonce, sealed, header, sides, opens, refused } = collision
    for (const { aes_key, plaintext } of sides) {
      const bare = provider.aesGcmOpen(bytes(aes_key), bytes(nonce), bytes(sealed), utf8(header))
      assert.deepEqual(bare, bytes(plaintext), 'GCM alone opens it with either key')
    }
    const expected = { op: 'answer', rqh: null, nowS: keyVectors.now }
    const open = (envelope: unknown) =>
      openEnvelope(provider, envelope, readerOf(provider, mlKemVectors), issuersOf(provider), expected).plaintext
    assert.equal(refused.length, 2)
    for (const envelope of refused) assert.throws(() => open(envelope), refusal())
    for (const [i, envelope] of opens.entries()) assert.deepEqual(open(envelope), bytes(sides[i]?.plaintext ?? ''))
  })
}
