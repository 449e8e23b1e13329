import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Bytes, copyBytes, decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import type { CryptoProvider, KemPublicKey } from '#src/crypto/provider.ts'
import { digestRecord, encodeContext, openRecord, type RecordContext, sealRecord } from '#src/vault/record.ts'
import { providers } from '#test/support/deployment.ts'

const file = new URL('../vectors/vault-record.json', import.meta.url)
const vector = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string> & { context: RecordContext }
const refusal = { code: 'vault.unavailable', message: 'The vault entry could not be opened.' }

function bytes(name: string): Bytes {
  const found = fromHex(vector[name] ?? 'not there')
  assert.ok(found, name)
  return found
}

const record = {
  vaultKeyId: vector['vaultKeyId'] ?? '',
  shareKmsKeyId: vector['shareKmsKeyId'] ?? '',
  kemCiphertext: bytes('kemCiphertext'),
  wrappedShare: bytes('wrappedShare'),
  commitment: bytes('commitment'),
  sealed: bytes('sealed'),
}
const { context } = vector
const share = bytes('share')

assert.equal(providers.length, 2)
for (const provider of providers) {
  describe(`vault record with ${provider.name}`, () => {
    const kem = provider.kemPrivateKey(bytes('kemSeed'))

    test('opens the frozen vector', () => {
      assert.equal(decodeUtf8(openRecord(provider, kem, { share }, context, record)), vector['values'])
    })

    test('has every intermediate value of the frozen vector', () => {
      assert.equal(toHex(kem.publicKey), vector['ek'])
      assert.equal(toHex(kem.decapsulate(record.kemCiphertext)), vector['sharedSecret'])
      assert.equal(toHex(encodeContext(context)), vector['contextBytes'])
      assert.equal(toHex(provider.hkdfSha512(bytes('ikm'), bytes('salt'), bytes('info'), 64)), vector['okm'])
      assert.equal(toHex(digestRecord(provider, context, record)), vector['recordSha384'])
    })

    test('writes the frozen vector from the same encapsulation and nonce', () => {
      const fixed: CryptoProvider = { ...provider, randomBytes: () => bytes('nonce') }
      const encapsulation = { ciphertext: bytes('kemCiphertext'), sharedSecret: bytes('sharedSecret') }
      const key: KemPublicKey = { bytes: bytes('ek'), encapsulate: () => encapsulation }
      const sealed = sealRecord(fixed, key, { share }, context, utf8(vector['values'] ?? ''))
      assert.deepEqual(
        Object.entries(sealed).map(([name, value]) => [name, toHex(value)]),
        [
          ['kemCiphertext', vector['kemCiphertext']],
          ['commitment', vector['commitment']],
          ['sealed', vector['sealed']],
        ],
      )
    })

    test('what it seals, both providers open; no two records are alike', () => {
      const key = provider.kemPublicKey(bytes('ek'))
      assert.ok(key)
      const [one, two] = [1, 2].map(() => sealRecord(provider, key, { share }, context, utf8('{"a":1}')))
      assert.ok(one && two)
      for (const other of providers) {
        const opened = openRecord(other, other.kemPrivateKey(bytes('kemSeed')), { share }, context, one)
        assert.equal(decodeUtf8(opened), '{"a":1}')
      }
      assert.notEqual(toHex(one.kemCiphertext), toHex(two.kemCiphertext))
      assert.notEqual(toHex(one.sealed.subarray(0, 12)), toHex(two.sealed.subarray(0, 12)))
      assert.notEqual(toHex(one.commitment), toHex(two.commitment))
    })

    // noble takes milliseconds for a decapsulation: there every fifteenth bit of the KEM ciphertext.
    const strides = { kemCiphertext: provider.name === 'openssl' ? 1 : 15, commitment: 1, sealed: 1, share: 1 }
    for (const [name, stride] of Object.entries(strides)) {
      test(`any bit of ${name} flipped is refused`, () => {
        const parts = { ...record, share }
        const original = parts[name as keyof typeof strides]
        let flipped = 0
        for (let bit = 0; bit < original.length * 8; bit += stride) {
          const changed = copyBytes(original)
          changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          const hostile = { ...parts, [name]: changed }
          assert.throws(
            () => openRecord(provider, kem, { share: hostile.share }, context, hostile),
            refusal,
            `bit ${bit}`,
          )
          flipped++
        }
        assert.ok(flipped >= 256)
      })

      test(`${name} cut anywhere or extended is refused`, () => {
        const parts = { ...record, share }
        const original = parts[name as keyof typeof strides]
        const lengths = Array.from({ length: original.length }, (_, length) => length)
        const variants = [...lengths.map((length) => original.slice(0, length)), new Uint8Array([...original, 0])]
        for (const changed of variants) {
          const hostile = { ...parts, [name]: changed }
          assert.throws(
            () => openRecord(provider, kem, { share: hostile.share }, context, hostile),
            refusal,
            `${changed.length}`,
          )
        }
        assert.ok(variants.length > 32)
      })
    }

    const contexts: Partial<RecordContext>[] = [
      { tenantId: 'ten_01kat4hvr07rf9mm9f7nrvz4gh' },
      { entryId: '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e11' },
      { version: 2 },
      { version: 4 },
      { credentialType: 'api_key' },
      { schema: 2 },
      { custody: 1 },
      // The same bytes cut differently: the length prefixes tell them apart.
      { tenantId: context.tenantId + context.entryId, entryId: '' },
    ]
    for (const change of contexts) {
      test(`another context is refused: ${JSON.stringify(change)}`, () => {
        assert.throws(() => openRecord(provider, kem, { share }, { ...context, ...change }, record), refusal)
      })
    }

    test('another vault key is refused', () => {
      const other = provider.kemPrivateKey(new Uint8Array(64))
      assert.throws(() => openRecord(provider, other, { share }, context, record), refusal)
    })

    test('the digest covers context, key ids and every byte', () => {
      const changed = [
        digestRecord(provider, context, record),
        digestRecord(provider, { ...context, version: 4 }, record),
        ...Object.keys(record).map((name) =>
          digestRecord(provider, context, { ...record, [name]: copyBytes(utf8('x')) }),
        ),
      ]
      assert.equal(new Set(changed.map(toHex)).size, 8)
    })
  })
}
