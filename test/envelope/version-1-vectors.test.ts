import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Bytes, concatBytes } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import { uuidOfId } from '#src/core/ids.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { deriveVersion1Key, openVersion1, version1MacKey } from '#src/envelope/version-1.ts'
import { urlOf } from '#test/vectors/files.ts'
import type { Version1Vectors } from '#test/vectors/make-version-1-vectors.ts'

const vectors = JSON.parse(readFileSync(urlOf('envelope-v1.json'), 'utf8')) as Version1Vectors
const { tenant } = vectors
const bytes = (hex: string): Bytes => fromHex(hex) ?? assert.fail('not hexadecimal')

/** As the published format gives them: 32 zero bytes, and 00 to 1f. */
const KNOWN_ANSWERS = [
  'c75832b433583415bcf6fa82f267236535b8486773c9ae165933476ce3ea4668',
  'd4d020e669079d93df4cf833bec09c4ea3f534f654d192885b71995a0bf7fb95',
]

for (const provider of [opensslProvider, nobleProvider]) {
  test(`${provider.name}: the key derivation of version 1 gives its known answers`, () => {
    const inputs = ['00'.repeat(32), toHex(Uint8Array.from({ length: 32 }, (_, i) => i))]
    assert.deepEqual(
      inputs.map((ikm) => toHex(deriveVersion1Key(provider, bytes(ikm)))),
      KNOWN_ANSWERS,
    )
    assert.deepEqual(
      vectors.kdf.map(({ ikm }) => ikm),
      inputs,
    )
    assert.deepEqual(
      vectors.kdf.map(({ aes_key }) => aes_key),
      KNOWN_ANSWERS,
    )
  })

  test(`${provider.name}: the keys and the tenant id of version 1 are those of the vectors`, () => {
    assert.equal(uuidOfId(tenant.tenant_id), tenant.tenant_uuid)
    assert.deepEqual(provider.kemPrivateKey(bytes(tenant.kem_seed)).publicKey, bytes(tenant.ek))
    assert.deepEqual(provider.signingKey(bytes(tenant.signing_seed)).publicKey, bytes(tenant.pub))
    assert.deepEqual(version1MacKey(provider, bytes(tenant.tenant_secret)), bytes(tenant.mac_key))
    assert.throws(() => version1MacKey(provider, new Uint8Array(63)), RangeError)
  })

  assert.equal(vectors.envelopes.length, 2)
  for (const [i, one] of vectors.envelopes.entries()) {
    test(`${provider.name}: every step of envelope ${i} of version 1 is that of the vectors, and it opens`, () => {
      const kem = provider.kemPrivateKey(bytes(tenant.kem_seed))
      const verify = provider.verifyKey(bytes(tenant.pub)) ?? assert.fail()
      const mac = provider.macKey(bytes(tenant.mac_key))
      const data = bytes(one.ciphertext_data)
      assert.deepEqual(kem.decapsulate(bytes(one.ciphertext_kem)), bytes(one.shared_secret))
      assert.deepEqual(deriveVersion1Key(provider, bytes(one.shared_secret)), bytes(one.aes_key))
      const none = new Uint8Array()
      const sealed = provider.aesGcmSeal(bytes(one.aes_key), bytes(one.nonce), bytes(one.plaintext), none)
      assert.deepEqual(concatBytes(bytes(one.nonce), sealed), data)
      assert.ok(verify.verify(data, none, bytes(one.pqc_signature)))
      assert.deepEqual(mac.mac(data), bytes(one.hmac))
      const reader = { kem, verify, mac, tenantUuid: tenant.tenant_uuid }
      assert.deepEqual(openVersion1(provider, one.envelope, reader), bytes(one.plaintext))
    })
  }
}
