import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'

const context = utf8('test')
const message = new Uint8Array(32)

test('noble: with a random generator that fails nothing is signed, encapsulated or drawn', async (t) => {
  const signing = nobleProvider.signingKey(new Uint8Array(32))
  const kem = nobleProvider.kemPublicKey(nobleProvider.kemPrivateKey(new Uint8Array(64)).publicKey) ?? assert.fail()
  const failing = t.mock.method(globalThis.crypto, 'getRandomValues', () => {
    throw new Error('no entropy')
  })
  await assert.rejects(async () => signing.sign(message, context), /no entropy/)
  assert.throws(() => kem.encapsulate(), /no entropy/)
  assert.throws(() => nobleProvider.randomBytes(12), /no entropy/)
  assert.equal(failing.mock.callCount(), 3)
  failing.mock.restore()
  assert.equal((await signing.sign(message, context)).length, 3309)
  assert.equal(kem.encapsulate().sharedSecret.length, 32)
})

for (const provider of [opensslProvider, nobleProvider]) {
  test(`${provider.name}: a thousand encapsulations and nonces are a thousand different ones, and no signature comes twice`, async () => {
    const kem = provider.kemPublicKey(provider.kemPrivateKey(new Uint8Array(64)).publicKey) ?? assert.fail()
    const signing = provider.signingKey(new Uint8Array(32))
    const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
    const draws = Array.from({ length: 1000 }, () => text(provider.randomBytes(12)))
    const secrets = Array.from({ length: 1000 }, () => text(kem.encapsulate().sharedSecret))
    const signatures: string[] = []
    for (let i = 0; i < 20; i++) signatures.push(text(await signing.sign(message, context)))
    for (const all of [draws, secrets, signatures]) assert.equal(new Set(all).size, all.length)
  })
}
