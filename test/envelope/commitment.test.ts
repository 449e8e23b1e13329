import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { deriveEnvelopeKeys } from '#src/envelope/envelope-keys.ts'
import { findSuite, SUITE_NAMES } from '#src/envelope/suites.ts'
import { flipBit, forge, headerOf, open } from './forge.ts'
import { collide } from './gcm-collision.ts'
import { makeParties, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const all = [opensslProvider, nobleProvider].flatMap((provider) =>
  SUITE_NAMES.map((suite) => ({ provider, suite, name: `${provider.name}, ${findSuite(suite)?.algorithm}` })),
)
for (const { provider, suite, name } of all) {
  const parties = makeParties(provider, suite)
  const { kem } = parties.recipient.sealing

  test(`${name}: a KEM ciphertext exchanged for a fresh one is refused, signed anew`, async () => {
    const exchanged = await forge(parties, {
      parts: (parts) => ({ ...parts, ciphertextKem: kem.encapsulate().ciphertext }),
    })
    assert.throws(() => open(parties, exchanged), refusal())
    assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
  })

  test(`${name}: a wrong commitment beside the right tag is refused, signed anew`, async () => {
    for (const bit of [0, 127, 255]) {
      const wrong = await forge(parties, {
        parts: (parts) => ({ ...parts, commitment: flipBit(parts.commitment, bit) }),
      })
      assert.throws(() => open(parties, wrong), refusal())
    }
    assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
  })

  test(`${name}: a right commitment beside a wrong tag is refused, signed anew`, async () => {
    const wrong = await forge(parties, {
      parts: (parts) => ({ ...parts, ciphertextData: flipBit(parts.ciphertextData, 100) }),
    })
    assert.throws(() => open(parties, wrong), refusal())
    assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
  })

  test(`${name}: a ciphertext that opens under two keys opens with the committed one only`, async () => {
    const protectedBytes = utf8(JSON.stringify(headerOf(parties)))
    const sides = [kem.encapsulate(), kem.encapsulate()].map(({ ciphertext, sharedSecret }) => {
      const input = { sharedSecret, ciphertextKem: ciphertext, kemPublicKey: kem.bytes, protectedBytes }
      return { ciphertext, ...deriveEnvelopeKeys(provider, input) }
    })
    const [a, b] = [sides[0] ?? assert.fail(), sides[1] ?? assert.fail()]
    const nonce = provider.randomBytes(12)
    const sealed = collide([a.aesKey, b.aesKey], nonce, protectedBytes, provider.randomBytes(16))

    const bare = [a, b].map(({ aesKey }) => provider.aesGcmOpen(aesKey, nonce, sealed, protectedBytes))
    assert.equal(bare[0]?.length, 32, 'GCM alone opens it with the first key')
    assert.equal(bare[1]?.length, 32, 'and with the second')
    assert.notDeepEqual(bare[0], bare[1])

    const send = (ciphertextKem: Bytes, commitment: Bytes) =>
      forge(parties, {
        parts: () => ({ protectedBytes, ciphertextKem, commitment, ciphertextData: concatBytes(nonce, sealed) }),
      })
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const crossed = await send(one.ciphertext, other.commitment)
      assert.throws(() => open(parties, crossed), refusal())
      const straight = await send(one.ciphertext, one.commitment)
      assert.equal(open(parties, straight).plaintext.length, 32)
    }
  })
}
