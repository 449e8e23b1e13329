import assert from 'node:assert/strict'
import { concatBytes, equalBytes } from '#src/core/bytes.ts'
import { sizes } from '#src/crypto/sizes.ts'
import { hex, type WycheproofCase, wycheproof } from './wycheproof.ts'

const name = ({ tcId, comment }: WycheproofCase): string => `case ${tcId}: ${String(comment)}`
const contextOf = (one: WycheproofCase): Uint8Array => (one['ctx'] === undefined ? new Uint8Array() : hex(one, 'ctx'))

const kemCases = { 'key and secret': 153, 'seed of another length': 20, 'ciphertext of another length': 20 }
wycheproof('mlkem_768_test.json', kemCases, (provider, one) => {
  const seed = hex(one, 'seed')
  if (seed.length !== sizes.kemSeed) {
    assert.equal(one.result, 'invalid')
    assert.throws(() => provider.kemPrivateKey(seed), RangeError, name(one))
    return 'seed of another length'
  }
  const key = provider.kemPrivateKey(seed)
  const ciphertext = hex(one, 'c')
  assert.deepEqual(key.publicKey, hex(one, 'ek'), name(one))
  if (one.result === 'invalid') {
    assert.notEqual(ciphertext.length, sizes.kemCiphertext)
    assert.throws(() => key.decapsulate(ciphertext), RangeError, name(one))
    return 'ciphertext of another length'
  }
  assert.deepEqual(key.decapsulate(ciphertext), hex(one, 'K'), name(one))
  return 'key and secret'
})

const verifyCases = { verifies: 79, 'does not verify': 127, 'key of another length': 4 }
wycheproof('mldsa_65_verify_test.json', verifyCases, (provider, one) => {
  const key = provider.verifyKey(hex(one, 'publicKey'))
  if (!key) {
    assert.equal(one.result, 'invalid', name(one))
    return 'key of another length'
  }
  const isValid = key.verify(hex(one, 'msg'), contextOf(one), hex(one, 'sig'))
  assert.equal(isValid, one.result === 'valid', name(one))
  return isValid ? 'verifies' : 'does not verify'
})

const signCases = {
  'key and signature': 84,
  'seed of another length': 3,
  'context too long': 1,
  'hash instead of message': 17,
}
wycheproof('mldsa_65_sign_seed_test.json', signCases, async (provider, one) => {
  const seed = hex(one, 'privateSeed')
  if (seed.length !== sizes.dsaSeed) {
    assert.equal(one.result, 'invalid')
    assert.throws(() => provider.signingKey(seed), RangeError, name(one))
    return 'seed of another length'
  }
  const key = provider.signingKey(seed)
  if (one.result === 'invalid') {
    await assert.rejects(async () => key.sign(hex(one, 'msg'), contextOf(one)), RangeError, name(one))
    return 'context too long'
  }
  assert.deepEqual(key.publicKey, hex(one, 'publicKey'), name(one))
  const verify = provider.verifyKey(key.publicKey) ?? assert.fail(name(one))
  if (one['msg'] === undefined) {
    // Algorithm 7 of FIPS 204 takes the hash; we have pure ML-DSA alone, for which it is a message like any other.
    assert.equal(verify.verify(hex(one, 'mu'), contextOf(one), hex(one, 'sig')), false, name(one))
    return 'hash instead of message'
  }
  const [message, context] = [hex(one, 'msg'), contextOf(one)]
  assert.ok(verify.verify(message, context, hex(one, 'sig')), name(one))
  assert.ok(verify.verify(message, context, await key.sign(message, context)), name(one))
  return 'key and signature'
})

const gcmCases = { opens: 39, 'does not open': 27, 'nonce of another length': 39, 'key of another length': 211 }
wycheproof('aes_gcm_test.json', gcmCases, (provider, one) => {
  const [key, nonce, aad, message] = [hex(one, 'key'), hex(one, 'iv'), hex(one, 'aad'), hex(one, 'msg')]
  const sealed = concatBytes(hex(one, 'ct'), hex(one, 'tag'))
  if (key.length !== sizes.aesKey || nonce.length !== sizes.gcmNonce) {
    assert.throws(() => provider.aesGcmSeal(key, nonce, message, aad), RangeError, name(one))
    assert.throws(() => provider.aesGcmOpen(key, nonce, sealed, aad), RangeError, name(one))
    return key.length === sizes.aesKey ? 'nonce of another length' : 'key of another length'
  }
  const isValid = one.result === 'valid'
  assert.deepEqual(provider.aesGcmOpen(key, nonce, sealed, aad), isValid ? message : undefined, name(one))
  if (!isValid) return 'does not open'
  assert.deepEqual(provider.aesGcmSeal(key, nonce, message, aad), sealed, name(one))
  return 'opens'
})

const hmacCases = { 'the tag': 33, 'another tag': 54, 'half the tag': 33, 'half another tag': 54 }
wycheproof('hmac_sha512_test.json', hmacCases, (provider, one) => {
  const tag = hex(one, 'tag')
  const computed = provider.macKey(hex(one, 'key')).mac(hex(one, 'msg'))
  const isValid = one.result === 'valid'
  assert.equal(equalBytes(computed.slice(0, tag.length), tag), isValid, name(one))
  if (tag.length === sizes.hmacTag) return isValid ? 'the tag' : 'another tag'
  assert.equal(equalBytes(computed, tag), false, `${name(one)}: half a tag is none`)
  return isValid ? 'half the tag' : 'half another tag'
})

const hkdfCases = { derives: 80, 'too much': 3 }
wycheproof('hkdf_sha512_test.json', hkdfCases, (provider, one) => {
  const derive = () => provider.hkdfSha512(hex(one, 'ikm'), hex(one, 'salt'), hex(one, 'info'), Number(one['size']))
  if (one.result === 'invalid') {
    assert.throws(derive, RangeError, name(one))
    return 'too much'
  }
  assert.deepEqual(derive(), hex(one, 'okm'), name(one))
  return 'derives'
})
