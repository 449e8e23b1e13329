import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { assertAcceptableKemKey } from '#src/envelope/enrolment.ts'
import { findSuite, SUITE_NAMES, X_WING_SUITE } from '#src/envelope/suites.ts'
import { lowOrderPoints } from '#test/crypto/low-order-points.ts'
import { makeRecipient } from './parties.ts'
import { refusal } from './refusal.ts'

for (const provider of [opensslProvider, nobleProvider]) {
  for (const name of SUITE_NAMES) {
    const suite = findSuite(name) ?? assert.fail()
    const good = makeRecipient(provider, 'one', {}, name).sealing.kem.bytes
    const badKeys: { why: string; ek: Uint8Array }[] = [
      { why: 'all zero', ek: new Uint8Array(suite.publicKeyBytes) },
      { why: 'zero polynomials beside a matrix seed', ek: Uint8Array.from(good).fill(0, 0, 1152) },
      { why: 'a coefficient over the modulus', ek: Uint8Array.from(good).fill(0xff, 0, 2) },
      { why: 'the modulus itself as coefficient', ek: Uint8Array.from(good).fill(0x01, 0, 1).fill(0x0d, 1, 2) },
      { why: 'a byte short', ek: good.slice(1) },
      { why: 'a byte long', ek: new Uint8Array([...good, 0]) },
      { why: 'empty', ek: new Uint8Array() },
      ...SUITE_NAMES.filter((other) => other !== name).map((other) => ({
        why: `of the suite ${other}`,
        ek: makeRecipient(provider, 'one', {}, other).sealing.kem.bytes,
      })),
    ]
    for (const { why, ek } of badKeys) {
      test(`${provider.name}: a recipient key of ${suite.algorithm} that is ${why} cannot be enrolled, and its twin can`, () => {
        assert.throws(() => assertAcceptableKemKey(provider, suite, ek), refusal('request.invalid'))
        assert.equal(suite.publicKey(provider, ek), undefined)
        assert.deepEqual(assertAcceptableKemKey(provider, suite, good).bytes, good)
      })
    }
  }

  test(`${provider.name}: an X-Wing key whose X25519 half has low order cannot be enrolled`, () => {
    const suite = findSuite(X_WING_SUITE) ?? assert.fail()
    const good = makeRecipient(provider, 'one', {}, X_WING_SUITE).sealing.kem.bytes
    assert.equal(lowOrderPoints.length, 14)
    for (const point of lowOrderPoints) {
      const ek = concatBytes(good.slice(0, 1184), point)
      assert.throws(() => assertAcceptableKemKey(provider, suite, ek), refusal('request.invalid'))
    }
    assert.ok(assertAcceptableKemKey(provider, suite, good))
  })
}

test('the halves of a key are its ML-KEM part and its X25519 part', () => {
  const sizesOf = (name: string) => {
    const suite = findSuite(name) ?? assert.fail()
    const { bytes } = makeRecipient(opensslProvider, 'one', {}, name).sealing.kem
    const halves = suite.halves(bytes)
    assert.deepEqual(concatBytes(...halves), bytes)
    return halves.map((half) => half.length)
  }
  assert.deepEqual(SUITE_NAMES.map(sizesOf), [[1184], [1184, 32]])
})
