import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bytes, concatBytes } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { findSuite, ML_KEM_SUITE, SUITE_NAMES, X_WING_SUITE } from '#src/envelope/suites.ts'
import { lowOrderPoints } from '#test/crypto/low-order-points.ts'
import { setAt } from './fields.ts'
import { flipBit, forge, open, type SealedParts } from './forge.ts'
import { ANSWER, makeParties, makeRecipient, type Parties, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const ciphertext = (change: (kem: Bytes) => Bytes) => (parts: SealedParts) => ({
  ...parts,
  ciphertextKem: change(parts.ciphertextKem),
})
const cut = (length: number) => ciphertext((kem) => kem.slice(0, length))

for (const provider of [opensslProvider, nobleProvider]) {
  const [mlKem, xWing] = [makeParties(provider, ML_KEM_SUITE), makeParties(provider, X_WING_SUITE)]
  const both: { name: string; parties: Parties; other: Parties }[] = [
    { name: 'ML-KEM-768', parties: mlKem, other: xWing },
    { name: 'X-Wing', parties: xWing, other: mlKem },
  ]

  for (const { name, parties, other } of both) {
    const { suite } = parties.recipient.sealing

    for (const wrong of [other.recipient.sealing.suite, 'ML-KEM-768', '', 'toString']) {
      test(`${provider.name}: a signed envelope that claims the suite '${wrong}' is refused by a recipient of ${name}`, async () => {
        const bad = await forge(parties, { claims: { suite: wrong } })
        assert.throws(() => open(parties, bad), refusal())
        assert.deepEqual(open(parties, await forge(parties, { claims: { suite } })).plaintext, PLAINTEXT)
      })
    }

    test(`${provider.name}: an envelope of the other suite with the same ids is refused by a recipient of ${name}`, async () => {
      const { kemKeyId, macKeyId, recipientId } = other.recipient.sealing
      const mine = parties.recipient.sealing
      assert.deepEqual([kemKeyId, macKeyId, recipientId], [mine.kemKeyId, mine.macKeyId, mine.recipientId])
      const foreign = await forge(other)
      assert.throws(() => open(parties, foreign), refusal())
      assert.deepEqual(open(other, foreign).plaintext, PLAINTEXT)
    })

    test(`${provider.name}: encrypted.algorithm of the other suite is refused by a recipient of ${name}`, async () => {
      const envelope = await forge(parties)
      const { algorithm } = (await forge(other)).encrypted
      assert.notEqual(algorithm, envelope.encrypted.algorithm)
      for (const wrong of [algorithm, algorithm.toLowerCase(), envelope.encrypted.algorithm.toLowerCase()]) {
        assert.throws(() => open(parties, setAt(envelope, ['encrypted', 'algorithm'], wrong)), refusal())
      }
      assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
    })

    test(`${provider.name}: a signed ${name} ciphertext of another length is refused`, async () => {
      const grown = ciphertext((kem) => concatBytes(kem, new Uint8Array(32)))
      for (const parts of [cut(1088 - 32), cut(1088), cut(1119), grown]) {
        const bad = await forge(parties, { parts })
        if (bad.encrypted.ciphertext_kem.length === (await forge(parties)).encrypted.ciphertext_kem.length) continue
        assert.throws(() => open(parties, bad), refusal())
      }
      assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
    })
  }

  test(`${provider.name}: an X-Wing envelope cut to its ML-KEM half is refused by both recipients, signed either way`, async () => {
    for (const [sealer, suite] of [
      [xWing, X_WING_SUITE],
      [xWing, ML_KEM_SUITE],
    ] as const) {
      const bad = await forge(sealer, { claims: { suite }, parts: cut(1088) })
      for (const reader of [mlKem, xWing]) assert.throws(() => open(reader, bad), refusal())
    }
    assert.deepEqual(open(xWing, await forge(xWing)).plaintext, PLAINTEXT)
  })

  test(`${provider.name}: a signed X-Wing ciphertext whose X25519 half has low order is the one error`, async () => {
    assert.equal(lowOrderPoints.length, 14)
    for (const point of lowOrderPoints) {
      const bad = await forge(xWing, { parts: ciphertext((kem) => concatBytes(kem.slice(0, 1088), point)) })
      assert.throws(() => open(xWing, bad), refusal())
    }
    assert.deepEqual(open(xWing, await forge(xWing)).plaintext, PLAINTEXT)
  })
}

test('every bit of the X25519 half of a ciphertext flipped and signed anew is refused', async () => {
  const xWing = makeParties(opensslProvider, X_WING_SUITE)
  for (let bit = 1088 * 8; bit < 1120 * 8; bit++) {
    const bad = await forge(xWing, { parts: ciphertext((kem) => flipBit(kem, bit)) })
    assert.throws(() => open(xWing, bad), refusal(), `bit ${bit}`)
  }
  assert.deepEqual(open(xWing, await forge(xWing)).plaintext, PLAINTEXT)
})

for (const [path, name] of [
  [['signature', 'algorithm'], 'ML-DSA-65'],
  [['version'], 1],
  [['version'], '2'],
] as const) {
  test(`${path.join('.')} ${JSON.stringify(name)} is refused`, async () => {
    const parties = makeParties(opensslProvider)
    const envelope = await forge(parties)
    assert.throws(() => open(parties, setAt(envelope, path, name)), refusal())
    assert.deepEqual(open(parties, envelope).plaintext, PLAINTEXT)
  })
}

test('nothing is sealed to a suite that does not exist', () => {
  const { sealing } = makeRecipient(opensslProvider, 'one')
  const seal = (suite: string) => sealEnvelope(opensslProvider, { ...sealing, suite }, 'sig_one', ANSWER, PLAINTEXT)
  for (const suite of ['ML-KEM-1024+AES-256-GCM+ML-DSA-65+HMAC-SHA-512', 'ML-KEM-768', '__proto__']) {
    assert.equal(findSuite(suite), undefined)
    assert.throws(() => seal(suite), RangeError)
  }
  assert.deepEqual(
    SUITE_NAMES.map((name) => findSuite(name)?.name),
    SUITE_NAMES,
  )
  assert.equal(seal(ML_KEM_SUITE).leaf.length, 48)
})

test('a plaintext of 16 MiB is sealed, one byte more is not', () => {
  const { sealing } = makeRecipient(opensslProvider, 'one')
  const seal = (length: number) => sealEnvelope(opensslProvider, sealing, 'sig_one', ANSWER, new Uint8Array(length))
  assert.throws(() => seal(16 * 1024 * 1024 + 1), RangeError)
  assert.equal(seal(16 * 1024 * 1024).leaf.length, 48)
})
