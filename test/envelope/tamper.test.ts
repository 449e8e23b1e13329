import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from '#src/core/base64.ts'
import { type Bytes, concatBytes, u32, utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import type { Expectation } from '#src/envelope/open.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealBatch } from './batch.ts'
import { getAt, leavesOf, type Path, setAt } from './fields.ts'
import { EXPECTED, flipBit, forge, open } from './forge.ts'
import { issuerMap, makeIssuer, makeParties, makeRecipient, type Parties, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)
const small = utf8('{}')

interface BytesField {
  path: Path
  bytes: number
}
const headerField: Path = ['protected']
const commitment: BytesField = { path: ['encrypted', 'key_commitment'], bytes: 32 }
const ciphertextKem: BytesField = { path: ['encrypted', 'ciphertext_kem'], bytes: 1088 }
const ciphertextData: BytesField = { path: ['encrypted', 'ciphertext_data'], bytes: 30 }
const pqc: BytesField = { path: ['signature', 'pqc_signature'], bytes: 3309 }
const hmac: BytesField = { path: ['signature', 'hmac_signature'], bytes: 64 }
const proofHash: BytesField = { path: ['signature', 'inclusion_proof', 'hashes', 0], bytes: 48 }
const fields = [commitment, ciphertextKem, ciphertextData, pqc, hmac, proofHash]

const codec = (path: Path) =>
  path === headerField ? { encode: toBase64Url, decode: fromBase64Url } : { encode: toBase64, decode: fromBase64 }

function bytesAt(envelope: HybridCryptoEnvelope, path: Path): Bytes {
  return codec(path).decode(String(getAt(envelope, path))) ?? assert.fail('not canonical')
}

function withBytes(envelope: HybridCryptoEnvelope, path: Path, bytes: Uint8Array): HybridCryptoEnvelope {
  return setAt(envelope, path, codec(path).encode(bytes))
}

async function smallEnvelope(of: Parties): Promise<HybridCryptoEnvelope> {
  return (await sealBatch(of, 2, small))[0] ?? assert.fail()
}

/** Opens without a detour through text, for the long loops. */
function assertRefused(of: Parties, envelope: unknown, what: string): void {
  const open = () => openEnvelope(of.provider, envelope, of.recipient.reader, issuerMap(of.issuer.published), EXPECTED)
  assert.throws(open, refusal(), what)
}

for (const { path } of [{ path: headerField }, ...fields]) {
  test(`every single bit flipped in ${path.join('.')} is refused`, async () => {
    const envelope = await smallEnvelope(parties)
    const bytes = bytesAt(envelope, path)
    assert.ok(bytes.length > 0)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      assertRefused(parties, withBytes(envelope, path, flipBit(bytes, bit)), `bit ${bit}`)
    }
    assert.deepEqual(open(parties, envelope).plaintext, small)
  })
}

/** The same pseudo-random numbers in every run. */
function pick(provider: CryptoProvider, seed: number, below: number): number {
  return new DataView(provider.sha384(u32(seed)).buffer).getUint32(0) % below
}

test('noble: 2,000 random bits flipped in signature and KEM ciphertext are refused', async () => {
  const portable = makeParties(nobleProvider)
  const envelope = await smallEnvelope(portable)
  for (let i = 0; i < 2000; i++) {
    const { path, bytes } = i % 2 === 0 ? pqc : ciphertextKem
    const bit = pick(opensslProvider, i, bytes * 8)
    const flipped = withBytes(envelope, path, flipBit(bytesAt(envelope, path), bit))
    assertRefused(portable, flipped, `bit ${bit} of ${path.join('.')}`)
  }
  assert.deepEqual(open(portable, envelope).plaintext, small)
})

for (const { path, bytes: length } of fields) {
  test(`${path.join('.')} one byte shorter, one byte longer, or empty is refused`, async () => {
    const envelope = await smallEnvelope(parties)
    const bytes = bytesAt(envelope, path)
    assert.equal(bytes.length, length)
    for (const wrong of [
      bytes.subarray(1),
      bytes.subarray(0, -1),
      concatBytes(bytes, new Uint8Array(1)),
      new Uint8Array(),
    ]) {
      assertRefused(parties, withBytes(envelope, path, wrong), `${wrong.length} bytes`)
    }
    assert.deepEqual(open(parties, withBytes(envelope, path, bytes)).plaintext, small)
  })
}

const strangers: { whose: string; other: Parties }[] = [
  { whose: 'the same recipient', other: parties },
  {
    whose: 'another tenant',
    other: { ...parties, recipient: makeRecipient(opensslProvider, 'two', { tenantId: 'ten_two' }) },
  },
]
for (const { whose, other } of strangers) {
  test(`every member swapped with a valid envelope of ${whose} is refused`, async () => {
    const [mine, theirs] = [
      await smallEnvelope(parties),
      await forge(other, { plaintext: small, claims: { rid: 'req_two' } }),
    ]
    const paths = [...leavesOf(mine), ['encrypted'], ['signature'], ['signature', 'inclusion_proof']]
    const differing = paths.filter((path) => JSON.stringify(getAt(mine, path)) !== JSON.stringify(getAt(theirs, path)))
    assert.ok(differing.length >= 10)
    for (const path of differing) assertRefused(parties, setAt(mine, path, getAt(theirs, path)), path.join('.'))
    assert.deepEqual(open(parties, mine).plaintext, small)
    assert.deepEqual(open(other, theirs).plaintext, small)
  })
}

test('every member left out, null, empty, of another type, or beside a new one is refused', async () => {
  const envelope = await smallEnvelope(parties)
  const paths = [...leavesOf(envelope), ['encrypted'], ['signature'], ['signature', 'inclusion_proof']]
  assert.ok(paths.length > 15)
  for (const path of paths) {
    for (const value of [undefined, null, '', {}, [], true, 7, 'x'.repeat(1024 * 1024)]) {
      if (value !== getAt(envelope, path))
        assertRefused(parties, setAt(envelope, path, value), `${path.join('.')} ${typeof value}`)
    }
  }
  for (const path of [['x'], ['encrypted', 'x'], ['signature', 'x'], ['signature', 'inclusion_proof', 'x']]) {
    assertRefused(parties, setAt(envelope, path, 1), path.join('.'))
  }
  assertRefused(parties, JSON.parse(`{"__proto__":{},${JSON.stringify(envelope).slice(1)}`), '__proto__')
  assert.deepEqual(open(parties, envelope).plaintext, small)
})

test('no option opens without both signatures', async () => {
  const bad = await forge(parties, { signing: makeIssuer(opensslProvider, 'two').signing })
  const lenient = { ...EXPECTED, verify: false, verify_signature: false, skipSignature: true } as Expectation
  assert.throws(() => open(parties, bad, lenient), refusal())
  assert.deepEqual(open(parties, await forge(parties), lenient).plaintext, PLAINTEXT)
})

for (const tagBytes of [4, 8, 12, 15]) {
  test(`a GCM tag of ${tagBytes} bytes is refused, signed as it is, and the whole one opens`, async () => {
    const cut = await forge(parties, {
      parts: (parts) => ({ ...parts, ciphertextData: parts.ciphertextData.slice(0, tagBytes - 16) }),
    })
    assert.throws(() => open(parties, cut), refusal())
    assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
  })
}

const foreign = ['ten_two', '../ten_one', "ten' OR 1=1", '__proto__', 'constructor', 'ten_one\u0000']
for (const member of ['tid', 'aud', 'kem', 'mac'] as const) {
  test(`a signed envelope with a foreign or hostile ${member} is refused`, async () => {
    for (const id of foreign) {
      const envelope = await forge(parties, { claims: { [member]: id } })
      assert.throws(() => open(parties, envelope), refusal(), id.slice(0, 20))
    }
    assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
  })
}

test('a signed envelope of an unknown signer says so, whatever the id; a malformed id does not', async () => {
  for (const sig of ['sig_two', '__proto__', 'constructor', 'toString']) {
    const envelope = await forge(parties, { claims: { sig } })
    assert.throws(() => open(parties, envelope), refusal('envelope.issuer_unknown'), sig)
  }
  for (const sig of ['../sig_one', "sig' OR 1=1"]) {
    const envelope = await forge(parties, { claims: { sig } })
    assert.throws(() => open(parties, envelope), refusal(), sig)
  }
  assert.deepEqual(open(parties, await forge(parties)).plaintext, PLAINTEXT)
})
