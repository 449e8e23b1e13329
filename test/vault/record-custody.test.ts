import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Bytes, copyBytes, decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import type { CryptoProvider, KemPublicKey } from '#src/crypto/provider.ts'
import { digestRecord, encodeContext, openRecord, type RecordContext, sealRecord } from '#src/vault/record.ts'
import { providers } from '#test/support/deployment.ts'

function read(name: string) {
  const text = readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')
  const vector = JSON.parse(text) as Record<string, string> & { context: RecordContext }
  const bytes = (member: string): Bytes => {
    const found = fromHex(vector[member] ?? 'not there')
    assert.ok(found, member)
    return found
  }
  const stored = {
    vaultKeyId: vector['vaultKeyId'] ?? '',
    shareKmsKeyId: vector['shareKmsKeyId'] ?? '',
    kemCiphertext: bytes('kemCiphertext'),
    wrappedShare: bytes('wrappedShare'),
    commitment: bytes('commitment'),
    sealed: bytes('sealed'),
  }
  return { vector, bytes, stored, context: vector.context, share: bytes('share') }
}

const plain = read('vault-record')
const split = read('vault-record-custody')
const custodyShare = split.bytes('custodyShare')
const refusal = { code: 'vault.unavailable', message: 'The vault entry could not be opened.' }

assert.equal(providers.length, 2)
for (const provider of providers) {
  describe(`record in split custody with ${provider.name}`, () => {
    const { vector, bytes, stored, context, share } = split
    const kem = provider.kemPrivateKey(bytes('kemSeed'))
    const shares = { share, custodyShare }

    test('opens the frozen vector, and has its intermediate values', () => {
      assert.equal(decodeUtf8(openRecord(provider, kem, shares, context, stored)), vector['values'])
      assert.equal(toHex(encodeContext(context)), vector['contextBytes'])
      assert.equal(vector['contextBytes']?.slice(-2), '01')
      assert.equal(vector['ikm'], `${vector['sharedSecret']}${vector['share']}${vector['custodyShare']}`)
      assert.equal(toHex(provider.hkdfSha512(bytes('ikm'), bytes('salt'), bytes('info'), 64)), vector['okm'])
      assert.equal(toHex(digestRecord(provider, context, stored)), vector['recordSha384'])
    })

    test('writes the frozen vector from the same encapsulation and nonce', () => {
      const fixed: CryptoProvider = { ...provider, randomBytes: () => bytes('nonce') }
      const encapsulation = { ciphertext: bytes('kemCiphertext'), sharedSecret: bytes('sharedSecret') }
      const key: KemPublicKey = { bytes: bytes('ek'), encapsulate: () => encapsulation }
      const sealed = sealRecord(fixed, key, shares, context, utf8(vector['values'] ?? ''))
      assert.equal(toHex(sealed.commitment), vector['commitment'])
      assert.equal(toHex(sealed.sealed), vector['sealed'])
    })

    test('any bit of the custody share flipped is refused, and any other length', () => {
      const hostile = Array.from({ length: 256 }, (_, bit) => {
        const changed = copyBytes(custodyShare)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        return changed
      })
      const lengths = Array.from({ length: 32 }, (_, length) => custodyShare.slice(0, length))
      const variants = [...hostile, ...lengths, new Uint8Array([...custodyShare, 0])]
      for (const changed of variants) {
        const other = { share, custodyShare: changed }
        assert.throws(() => openRecord(provider, kem, other, context, stored), refusal)
      }
      assert.equal(variants.length, 289)
    })

    test('none, the shares in each other’s place, and the wrapped share for both are refused', () => {
      const others = [
        { share },
        { share: custodyShare, custodyShare: share },
        { share, custodyShare: share },
        { share: new Uint8Array([...share, ...custodyShare]) },
      ]
      for (const other of others) assert.throws(() => openRecord(provider, kem, other, context, stored), refusal)
    })

    test('a record of custody 1 does not open as 0, nor one of 0 as 1, with or without a share', () => {
      for (const given of [{ share }, shares]) {
        assert.throws(() => openRecord(provider, kem, given, { ...context, custody: 0 }, stored), refusal)
      }
      const asSplit: RecordContext = { ...plain.context, custody: 1 }
      for (const given of [{ share }, shares, { share, custodyShare: new Uint8Array(32) }]) {
        assert.throws(() => openRecord(provider, kem, given, asSplit, plain.stored), refusal)
      }
      assert.throws(() => openRecord(provider, kem, shares, plain.context, plain.stored), refusal)
      assert.equal(
        decodeUtf8(openRecord(provider, kem, { share }, plain.context, plain.stored)),
        plain.vector['values'],
      )
    })

    test('nothing is sealed with shares that do not fit its custody: a mistake of the program', () => {
      const key = provider.kemPublicKey(bytes('ek'))
      assert.ok(key)
      for (const [given, custody] of [
        [{ share }, 1],
        [shares, 0],
        [{ share, custodyShare: new Uint8Array(31) }, 1],
        [{ share: new Uint8Array(31), custodyShare }, 1],
      ] as const) {
        assert.throws(() => sealRecord(provider, key, given, { ...context, custody }, utf8('{}')), TypeError)
      }
    })
  })
}
