import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { assertAcceptableKemKey } from '#src/envelope/enrolment.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { findSuite, ML_KEM_SUITE } from '#src/envelope/suites.ts'
import { setAt } from './fields.ts'
import { forge, open } from './forge.ts'
import { ANSWER, makeParties, makeRecipient, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)
const X_WING = 'X-Wing+AES-256-GCM+ML-DSA-65+HMAC-SHA-512'

for (const suite of [X_WING, 'ML-KEM-768', '', 'toString']) {
  test(`a signed envelope of the suite '${suite}' is refused, and one of the recipient's opens`, async () => {
    const bad = await forge(parties, { claims: { suite } })
    assert.throws(() => open(parties, bad), refusal())
    assert.deepEqual(open(parties, await forge(parties, { claims: { suite: ML_KEM_SUITE } })).plaintext, PLAINTEXT)
  })
}

for (const [path, name] of [
  [['encrypted', 'algorithm'], 'X-Wing'],
  [['encrypted', 'algorithm'], 'ml-kem-768'],
  [['signature', 'algorithm'], 'ML-DSA-65'],
  [['version'], 1],
  [['version'], '2'],
] as const) {
  test(`${path.join('.')} ${JSON.stringify(name)} is refused`, async () => {
    const envelope = await forge(parties)
    assert.throws(() => open(parties, setAt(envelope, path, name)), refusal())
    assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
  })
}

test('nothing is sealed to a suite that does not exist', () => {
  const { sealing } = makeRecipient(opensslProvider, 'one')
  const seal = (suite: string) => sealEnvelope(opensslProvider, { ...sealing, suite }, 'sig_one', ANSWER, PLAINTEXT)
  assert.equal(findSuite(X_WING), undefined)
  assert.throws(() => seal(X_WING), RangeError)
  assert.equal(seal(ML_KEM_SUITE).leaf.length, 48)
})

test('a plaintext of 16 MiB is sealed, one byte more is not', () => {
  const { sealing } = makeRecipient(opensslProvider, 'one')
  const seal = (length: number) => sealEnvelope(opensslProvider, sealing, 'sig_one', ANSWER, new Uint8Array(length))
  assert.throws(() => seal(16 * 1024 * 1024 + 1), RangeError)
  assert.equal(seal(16 * 1024 * 1024).leaf.length, 48)
})

for (const provider of [opensslProvider, nobleProvider]) {
  const good = makeRecipient(provider, 'one').sealing.kem.bytes
  const badKeys: { why: string; ek: Uint8Array }[] = [
    { why: 'all zero', ek: new Uint8Array(1184) },
    { why: 'zero polynomials beside a matrix seed', ek: Uint8Array.from(good).fill(0, 0, 1152) },
    { why: 'a coefficient over the modulus', ek: Uint8Array.from(good).fill(0xff, 0, 2) },
    { why: 'the modulus itself as coefficient', ek: Uint8Array.from(good).fill(0x01, 0, 1).fill(0x0d, 1, 2) },
    { why: 'a byte short', ek: good.slice(1) },
    { why: 'a byte long', ek: new Uint8Array([...good, 0]) },
    { why: 'empty', ek: new Uint8Array() },
  ]
  for (const { why, ek } of badKeys) {
    test(`${provider.name}: a recipient key that is ${why} cannot be enrolled, and its twin can`, () => {
      assert.throws(() => assertAcceptableKemKey(provider, ek), refusal('request.invalid'))
      assert.deepEqual(assertAcceptableKemKey(provider, good).bytes, good)
    })
  }
}
