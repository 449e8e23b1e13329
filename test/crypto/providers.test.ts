import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { isOpensslCapable, opensslInThread, opensslProvider } from '#src/crypto-native/openssl.ts'

const providers = [opensslProvider, nobleProvider]
const bytes = (length: number, step = 7): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * step) & 0xff)
const context = utf8('test')
const other = (provider: CryptoProvider): CryptoProvider =>
  provider === opensslProvider ? nobleProvider : opensslProvider

const imports = [
  { file: 'crypto/noble.ts', own: '@noble/', foreign: 'node:' },
  { file: 'crypto-native/openssl.ts', own: 'node:crypto', foreign: '@noble' },
  { file: 'crypto-native/x-wing.ts', own: 'node:crypto', foreign: '@noble' },
]
for (const { file, own, foreign } of imports) {
  test(`${file} does not import ${foreign}`, () => {
    const source = readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')
    const found = [...source.matchAll(/from '([^']+)'/g)].map((match) => match[1] ?? '')
    assert.ok(found.some((name) => name.startsWith(own)))
    assert.deepEqual(
      found.filter((name) => name.startsWith(foreign)),
      [],
    )
    assert.doesNotMatch(source, /import\(|require\(/)
  })
}

test('this Node has the primitives of the OpenSSL provider', () => assert.equal(isOpensslCapable(), true))

const lengths = [0, 1, 15, 16, 17, 63, 64, 65, 1024, 70_000]
const deterministic: {
  what: string
  run: (provider: CryptoProvider, message: Uint8Array) => Uint8Array | undefined
}[] = [
  { what: 'sha384', run: (p, message) => p.sha384(message) },
  { what: 'sha512', run: (p, message) => p.sha512(message) },
  { what: 'sha3_256', run: (p, message) => p.sha3_256(message) },
  { what: 'HMAC with a short key', run: (p, message) => p.macKey(bytes(5)).mac(message) },
  { what: 'HMAC with a long key', run: (p, message) => p.macKey(bytes(200)).mac(message) },
  { what: 'HKDF', run: (p, message) => p.hkdfSha512(message, bytes(3), bytes(1024), 100) },
  { what: 'HKDF without salt', run: (p, message) => p.hkdfSha512(message, bytes(0), bytes(0), 64) },
  { what: 'GCM of it', run: (p, message) => p.aesGcmSeal(bytes(32), bytes(12), message, bytes(20)) },
  { what: 'GCM beside it', run: (p, message) => p.aesGcmSeal(bytes(32), bytes(12), bytes(20), message) },
]
for (const { what, run } of deterministic) {
  test(`${what}: both providers give the same bytes, in memory of their own`, () => {
    for (const length of lengths) {
      const [native, portable] = providers.map((provider) => run(provider, bytes(length)))
      assert.deepEqual(native, portable, `${length} bytes`)
      for (const result of [native, portable]) {
        assert.equal(result?.constructor, Uint8Array)
        assert.equal(result?.byteLength, result?.buffer.byteLength)
      }
    }
  })
}

test('the hashes are those of the standards', () => {
  const abc = utf8('abc')
  for (const provider of providers) {
    assert.match(toHex(provider.sha384(abc)), /^cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163/)
    assert.match(toHex(provider.sha512(abc)), /^ddaf35a193617abacc417349ae204131/)
    assert.match(toHex(provider.sha3_256(abc)), /^3a985da74fe225b2045c172d6bd390bd/)
  }
})

for (const provider of providers) {
  const peer = other(provider)

  test(`${provider.name}: what it encapsulates, ${peer.name} decapsulates`, () => {
    const key = peer.kemPrivateKey(bytes(64))
    const mine = provider.kemPublicKey(key.publicKey) ?? assert.fail()
    const { ciphertext, sharedSecret } = mine.encapsulate()
    assert.deepEqual(key.decapsulate(ciphertext), sharedSecret)
    assert.equal(sharedSecret.length, 32)
    assert.notDeepEqual(mine.encapsulate().ciphertext, ciphertext)
  })

  test(`${provider.name}: a wrong ciphertext gives the same unrelated secret as with ${peer.name}`, () => {
    const wrong = new Uint8Array(1088)
    const secret = provider.kemPrivateKey(bytes(64)).decapsulate(wrong)
    assert.deepEqual(secret, peer.kemPrivateKey(bytes(64)).decapsulate(wrong))
  })

  test(`${provider.name}: what it signs, ${peer.name} verifies, and nothing else`, async () => {
    const signing = provider.signingKey(bytes(32))
    const verify = peer.verifyKey(signing.publicKey) ?? assert.fail()
    const signature = await signing.sign(bytes(100), context)
    assert.equal(signature.length, 3309)
    assert.equal(verify.verify(bytes(100), context, signature), true)
    assert.equal(verify.verify(bytes(101), context, signature), false)
    assert.equal(verify.verify(bytes(100), utf8('other'), signature), false)
    assert.equal(verify.verify(bytes(100), bytes(0), signature), false)
    assert.equal(verify.verify(bytes(100), bytes(256), signature), false)
    assert.equal(verify.verify(bytes(100), context, signature.subarray(1)), false)
    assert.equal(verify.verify(bytes(100), context, bytes(0)), false)
  })

  test(`${provider.name}: signing is hedged, so two signatures differ`, async () => {
    const signing = provider.signingKey(bytes(32))
    assert.notDeepEqual(await signing.sign(bytes(1), context), await signing.sign(bytes(1), context))
  })

  test(`${provider.name}: GCM opens its own, and no changed or shortened tag`, () => {
    const sealed = provider.aesGcmSeal(bytes(32), bytes(12), bytes(40), bytes(9))
    const open = (data: Uint8Array, aad = bytes(9)) => provider.aesGcmOpen(bytes(32), bytes(12), data, aad)
    assert.deepEqual(open(sealed), bytes(40))
    assert.equal(open(sealed, bytes(8)), undefined)
    for (const tagBytes of [0, 4, 8, 12, 15]) assert.equal(open(sealed.slice(0, 40 + tagBytes)), undefined)
    assert.equal(open(bytes(15)), undefined)
  })

  test(`${provider.name}: keys that FIPS 203 refuses and keys of another length are refused`, () => {
    const good = provider.kemPrivateKey(bytes(64)).publicKey
    const overModulus = Uint8Array.from(good).fill(0xff, 0, 3)
    assert.equal(provider.kemPublicKey(overModulus), undefined)
    assert.equal(provider.kemPublicKey(good.subarray(1)), undefined)
    assert.ok(provider.kemPublicKey(good))
    assert.equal(provider.verifyKey(bytes(1951)), undefined)
    assert.ok(provider.verifyKey(bytes(1952)))
  })

  const misuses: { what: string; run: () => unknown }[] = [
    { what: 'a KEM seed', run: () => provider.kemPrivateKey(bytes(63)) },
    { what: 'a signing seed', run: () => provider.signingKey(bytes(33)) },
    { what: 'a KEM ciphertext', run: () => provider.kemPrivateKey(bytes(64)).decapsulate(bytes(1087)) },
    { what: 'an AES key', run: () => provider.aesGcmSeal(bytes(16), bytes(12), bytes(1), bytes(0)) },
    { what: 'a nonce to seal', run: () => provider.aesGcmSeal(bytes(32), bytes(16), bytes(1), bytes(0)) },
    { what: 'a nonce to open', run: () => provider.aesGcmOpen(bytes(32), bytes(8), bytes(17), bytes(0)) },
    { what: 'HKDF info', run: () => provider.hkdfSha512(bytes(32), bytes(0), bytes(1025), 64) },
    { what: 'HKDF output', run: () => provider.hkdfSha512(bytes(32), bytes(0), bytes(0), 255 * 64 + 1) },
  ]
  for (const { what, run } of misuses) {
    test(`${provider.name}: ${what} of a wrong length throws RangeError`, () => assert.throws(run, RangeError))
  }

  test(`${provider.name}: a context over 255 bytes is refused`, async () => {
    const signing = provider.signingKey(bytes(32))
    await assert.rejects(async () => signing.sign(bytes(1), bytes(256)), RangeError)
    assert.equal((await signing.sign(bytes(1), bytes(255))).length, 3309)
  })

  test(`${provider.name}: random bytes have the length asked for and differ`, () => {
    for (const length of [0, 12, 65_536, 65_537, 200_000]) assert.equal(provider.randomBytes(length).length, length)
    assert.notDeepEqual(provider.randomBytes(32), provider.randomBytes(32))
    assert.notEqual(provider.randomBytes(70_000).at(-1), undefined)
  })
}

for (const provider of providers) {
  test(`${provider.name}: a key that was posted to another thread is the same key, and one of another provider is refused`, async () => {
    const post = (key: object): object => structuredClone(key)
    const mac = provider.macKey(bytes(64))
    assert.deepEqual(provider.postedMacKey(post(mac.postable)).mac(bytes(9)), mac.mac(bytes(9)))
    assert.deepEqual(provider.postedMacKey(post(mac.postable)).mac(bytes(9)), mac.mac(bytes(9))) // posted as often as it is asked
    const signing = provider.signingKey(bytes(32))
    const posted = provider.postedSigningKey(post(signing.postable))
    assert.deepEqual(posted.publicKey, signing.publicKey)
    const signature = await posted.sign(bytes(9), context)
    assert.equal(other(provider).verifyKey(signing.publicKey)?.verify(bytes(9), context, signature), true)
    const foreign = other(provider).macKey(bytes(64)).postable
    assert.throws(() => provider.postedMacKey(foreign), TypeError)
    assert.throws(() => provider.postedSigningKey(foreign), TypeError)
  })
}

test('in a thread OpenSSL signs and verifies as elsewhere', async () => {
  const signing = opensslProvider.signingKey(bytes(32))
  const posted = opensslInThread.postedSigningKey(structuredClone(signing.postable))
  const signature = await posted.sign(bytes(9), context)
  const verify = opensslInThread.verifyKey(posted.publicKey)
  assert.equal(await verify?.verifyAsync(bytes(9), context, signature), true)
  assert.equal(await verify?.verifyAsync(bytes(8), context, signature), false)
  assert.equal(nobleProvider.verifyKey(signing.publicKey)?.verify(bytes(9), context, signature), true)
  await assert.rejects(posted.sign(bytes(9), bytes(256)), RangeError)
})
