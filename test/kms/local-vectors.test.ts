import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Bytes, utf8 } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { encodeContext } from '#src/kms/context.ts'
import type { WrapContext } from '#src/kms/kms.ts'
import { derive, unwrapLocally, wrapLocally } from '#src/kms/local-wrap.ts'

interface Vector {
  name: string
  key_id: string
  key: string
  context: WrapContext
  salt: string
  nonce: string
  plaintext: string
  encoded_context: string
  info: string
  aad: string
  okm: string
  ciphertext_and_tag: string
  wrapped: string
}

const file = new URL('../vectors/kms-local.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }

function hex(text: string): Bytes {
  const bytes = fromHex(text)
  assert.ok(bytes)
  return bytes
}

/** The provider, with the two random values of a wrap taken from the vector. */
function withRandom(provider: CryptoProvider, values: Bytes[]): CryptoProvider {
  return {
    ...provider,
    randomBytes(length) {
      const next = values.shift()
      assert.equal(next?.length, length)
      return next as Bytes
    },
  }
}

test('the vectors are there', () => assert.ok(vectors.length >= 3))

for (const provider of [opensslProvider, nobleProvider]) {
  for (const vector of vectors) {
    test(`kms-local, ${provider.name}: ${vector.name}, every value between`, () => {
      const key = { id: vector.key_id, key: hex(vector.key) }
      const { info, aad, aesKey, commitment } = derive(provider, key, hex(vector.salt), vector.context)
      assert.equal(toHex(encodeContext(vector.context)), vector.encoded_context)
      assert.equal(toHex(info), vector.info)
      assert.equal(toHex(aad), vector.aad)
      assert.equal(toHex(aesKey) + toHex(commitment), vector.okm)
      const sealed = provider.aesGcmSeal(aesKey, hex(vector.nonce), hex(vector.plaintext), aad)
      assert.equal(toHex(sealed), vector.ciphertext_and_tag)

      const fixed = withRandom(provider, [hex(vector.salt), hex(vector.nonce)])
      assert.equal(toHex(wrapLocally(fixed, key, hex(vector.plaintext), vector.context)), vector.wrapped)
      assert.deepEqual(unwrapLocally(provider, key, hex(vector.wrapped), vector.context), hex(vector.plaintext))
      const other = { ...vector.context, tenant_id: 'ten_other' }
      assert.equal(unwrapLocally(provider, key, hex(vector.wrapped), other), undefined)
    })
  }
}

test('a wrap begins with 0x01, the length of the key id in four bytes, and the key id', () => {
  const [vector] = vectors
  assert.ok(vector)
  const head = `01${vector.key_id.length.toString(16).padStart(8, '0')}${toHex(utf8(vector.key_id))}${vector.salt}`
  assert.ok(vector.wrapped.startsWith(head))
})
