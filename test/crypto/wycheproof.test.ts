import assert from 'node:assert/strict'
import { concatBytes } from '#src/core/bytes.ts'
import { sizes } from '#src/crypto/sizes.ts'
import { hex, type WycheproofCase, wycheproof } from './wycheproof.ts'

const name = ({ tcId, comment }: WycheproofCase): string => `case ${tcId}: ${String(comment)}`
const contextOf = (one: WycheproofCase): Uint8Array => (one['ctx'] === undefined ? new Uint8Array() : hex(one, 'ctx'))

wycheproof('mlkem_768_test.json', 'keys from seeds and decapsulation are those of FIPS 203', (provider, one) => {
  const seed = hex(one, 'seed')
  if (seed.length !== sizes.kemSeed) {
    assert.throws(() => provider.kemPrivateKey(seed), RangeError, name(one))
    return true
  }
  const key = provider.kemPrivateKey(seed)
  const ciphertext = hex(one, 'c')
  if (one.result === 'invalid') {
    assert.throws(() => key.decapsulate(ciphertext), RangeError, name(one))
    return true
  }
  assert.deepEqual(key.publicKey, hex(one, 'ek'), name(one))
  assert.deepEqual(key.decapsulate(ciphertext), hex(one, 'K'), name(one))
  return true
})

wycheproof('mldsa_65_verify_test.json', 'signatures verify as FIPS 204 says', (provider, one) => {
  const key = provider.verifyKey(hex(one, 'publicKey'))
  const isValid = key?.verify(hex(one, 'msg'), contextOf(one), hex(one, 'sig')) ?? false
  assert.equal(isValid, one.result === 'valid', name(one))
  return true
})

wycheproof('mldsa_65_sign_seed_test.json', 'seeds give the keys of FIPS 204, which sign', async (provider, one) => {
  const seed = hex(one, 'privateSeed')
  if (seed.length !== sizes.dsaSeed) {
    assert.throws(() => provider.signingKey(seed), RangeError, name(one))
    return true
  }
  const key = provider.signingKey(seed)
  if (one['msg'] === undefined) return false // for the internal interface
  const [message, context] = [hex(one, 'msg'), contextOf(one)]
  if (one.result === 'invalid') {
    await assert.rejects(async () => key.sign(message, context), RangeError, name(one))
    return true
  }
  assert.deepEqual(key.publicKey, hex(one, 'publicKey'), name(one))
  const verify = provider.verifyKey(key.publicKey)
  assert.ok(verify?.verify(message, context, hex(one, 'sig')), name(one))
  assert.ok(verify?.verify(message, context, await key.sign(message, context)), name(one))
  return true
})

wycheproof('aes_gcm_test.json', 'AES-256-GCM seals and opens, 12-byte nonces only', (provider, one) => {
  if (one['keySize'] !== 256) return false
  const [key, nonce, aad, message] = [hex(one, 'key'), hex(one, 'iv'), hex(one, 'aad'), hex(one, 'msg')]
  if (nonce.length !== sizes.gcmNonce) {
    assert.throws(() => provider.aesGcmSeal(key, nonce, message, aad), RangeError, name(one))
    return true
  }
  const sealed = concatBytes(hex(one, 'ct'), hex(one, 'tag'))
  const isValid = one.result === 'valid'
  assert.deepEqual(provider.aesGcmOpen(key, nonce, sealed, aad), isValid ? message : undefined, name(one))
  if (isValid) assert.deepEqual(provider.aesGcmSeal(key, nonce, message, aad), sealed, name(one))
  return true
})

wycheproof('hmac_sha512_test.json', 'HMAC-SHA-512 gives the tag, and no other', (provider, one) => {
  const tag = hex(one, 'tag')
  const computed = provider.macKey(hex(one, 'key')).mac(hex(one, 'msg')).slice(0, tag.length)
  if (one.result === 'valid') assert.deepEqual(computed, tag, name(one))
  else assert.notDeepEqual(computed, tag, name(one))
  return true
})

wycheproof('hkdf_sha512_test.json', 'HKDF-SHA-512 derives, and refuses too much', (provider, one) => {
  const derive = () => provider.hkdfSha512(hex(one, 'ikm'), hex(one, 'salt'), hex(one, 'info'), Number(one['size']))
  if (one.result === 'valid') assert.deepEqual(derive(), hex(one, 'okm'), name(one))
  else assert.throws(derive, RangeError, name(one))
  return true
})
