import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { type Bytes, concatBytes } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { combinerInput, splitExpandedSeed } from '#src/crypto/x-wing.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { urlOf } from '#test/vectors/files.ts'
import { lowOrderPoints } from './low-order-points.ts'

const bytes = (hex: string): Bytes => fromHex(hex) ?? assert.fail('not hexadecimal')
const seed = Uint8Array.from({ length: 32 }, (_, i) => i)

interface DraftVector {
  seed: string
  eseed: string
  pk: string
  ct: string
  ss: string
}
const { vectors } = JSON.parse(readFileSync(urlOf('x-wing.json'), 'utf8')) as { vectors: DraftVector[] }
assert.equal(vectors.length, 3)

for (const [i, vector] of vectors.entries()) {
  for (const provider of [opensslProvider, nobleProvider]) {
    test(`${provider.name}: vector ${i + 1} of the draft gives its public key and shared secret`, () => {
      const key = provider.xWingPrivateKey(bytes(vector.seed))
      assert.equal(toHex(key.publicKey), vector.pk)
      assert.deepEqual(key.decapsulate(bytes(vector.ct)), bytes(vector.ss))
      assert.ok(provider.xWingPublicKey(bytes(vector.pk)))
    })
  }

  test(`the library encapsulates as vector ${i + 1} of the draft says`, () => {
    const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(bytes(vector.pk), bytes(vector.eseed))
    assert.equal(toHex(cipherText), vector.ct)
    assert.equal(toHex(sharedSecret), vector.ss)
  })
}

for (const [provider, peer] of [
  [opensslProvider, nobleProvider],
  [nobleProvider, opensslProvider],
] as const) {
  test(`${provider.name}: what it encapsulates with X-Wing, ${peer.name} decapsulates`, () => {
    const key = peer.xWingPrivateKey(seed)
    const mine = provider.xWingPublicKey(key.publicKey) ?? assert.fail()
    assert.deepEqual(mine.bytes, key.publicKey)
    const { ciphertext, sharedSecret } = mine.encapsulate()
    assert.deepEqual([ciphertext.length, sharedSecret.length], [1120, 32])
    assert.deepEqual(key.decapsulate(ciphertext), sharedSecret)
    const again = mine.encapsulate()
    assert.notDeepEqual(again.ciphertext.slice(0, 1088), ciphertext.slice(0, 1088))
    assert.notDeepEqual(again.ciphertext.slice(1088), ciphertext.slice(1088))
  })

  test(`${provider.name}: a wrong X-Wing ciphertext gives the same unrelated secret as with ${peer.name}`, () => {
    const wrong = Uint8Array.from({ length: 1120 }, (_, i) => i & 0xff)
    const secret = provider.xWingPrivateKey(seed).decapsulate(wrong) ?? assert.fail()
    assert.deepEqual(secret, peer.xWingPrivateKey(seed).decapsulate(wrong))
  })

  test(`${provider.name}: X25519 parts of low order are refused, in a key and in a ciphertext`, () => {
    const key = provider.xWingPrivateKey(seed)
    const { ciphertext } = (provider.xWingPublicKey(key.publicKey) ?? assert.fail()).encapsulate()
    assert.equal(lowOrderPoints.length, 14)
    for (const point of lowOrderPoints) {
      assert.equal(provider.xWingPublicKey(concatBytes(key.publicKey.slice(0, 1184), point)), undefined, toHex(point))
      assert.equal(key.decapsulate(concatBytes(ciphertext.slice(0, 1088), point)), undefined, toHex(point))
    }
    assert.equal(key.decapsulate(ciphertext)?.length, 32)
  })

  test(`${provider.name}: X-Wing seeds, keys and ciphertexts of another length are refused`, () => {
    const key = provider.xWingPrivateKey(seed)
    for (const length of [0, 31, 33, 64]) {
      assert.throws(() => provider.xWingPrivateKey(new Uint8Array(length)), RangeError)
    }
    for (const length of [0, 1088, 1119, 1121]) {
      assert.throws(() => key.decapsulate(new Uint8Array(length)), RangeError)
    }
    for (const wrong of [key.publicKey.slice(1), key.publicKey.slice(0, 1184), concatBytes(key.publicKey, seed)]) {
      assert.equal(provider.xWingPublicKey(wrong), undefined)
    }
    const overModulus = Uint8Array.from(key.publicKey).fill(0xff, 0, 3)
    assert.equal(provider.xWingPublicKey(overModulus), undefined)
  })
}

test('the combiner hashes both secrets, the X25519 ciphertext and key, and the label, in this order', () => {
  const [secretMlKem, secretX25519, ciphertextX25519, publicKeyX25519] = [1, 2, 3, 4].map((fill) =>
    new Uint8Array(32).fill(fill),
  ) as [Bytes, Bytes, Bytes, Bytes]
  const input = combinerInput({ secretMlKem, secretX25519, ciphertextX25519, publicKeyX25519 })
  const parts = ['01', '02', '03', '04'].map((byte) => byte.repeat(32))
  assert.equal(toHex(input), `${parts.join('')}5c2e2f2f5e5c`)
  const { mlKem, x25519 } = splitExpandedSeed(Uint8Array.from({ length: 96 }, (_, i) => i))
  assert.deepEqual([mlKem.length, mlKem[0], x25519.length, x25519[0]], [64, 0, 32, 64])
})
