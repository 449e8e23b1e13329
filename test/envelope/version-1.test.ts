import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64, toBase64 } from '#src/core/base64.ts'
import { concatBytes, utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import type { CryptoProvider, SigningKey } from '#src/crypto/provider.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import {
  type HybridCryptoEnvelopeV1,
  openVersion1,
  sealVersion1,
  type Version1Reader,
  version1MacKey,
} from '#src/envelope/version-1.ts'
import { getAt, leavesOf, type Path, setAt } from './fields.ts'
import { flipBit, forge, open } from './forge.ts'
import { makeIssuer, makeParties, seedOf } from './parties.ts'
import { refusal } from './refusal.ts'

const TENANT = '019a9a3a-15c0-7000-8000-00000000000a'
const OTHER_TENANT = '019a9a3a-15c0-7000-8000-00000000000b'
const plaintext = utf8('{"ctx":{"op":"proxy.publish"},"data":{"success":true}}')

function makeTenant(provider: CryptoProvider, name = 'one') {
  const kem = provider.kemPrivateKey(seedOf(provider, `version 1 kem ${name}`, 64))
  const signing = provider.signingKey(seedOf(provider, `version 1 sig ${name}`, 32))
  const mac = provider.macKey(version1MacKey(provider, seedOf(provider, `version 1 secret ${name}`, 64)))
  const verify = provider.verifyKey(signing.publicKey) ?? assert.fail()
  const publicKey = provider.kemPublicKey(kem.publicKey) ?? assert.fail()
  const reader: Version1Reader = { kem, verify, mac, tenantUuid: TENANT }
  return { provider, keys: { kem: publicKey, signing, verify, mac }, reader }
}
type Tenant = ReturnType<typeof makeTenant>

const seal = ({ provider, keys }: Tenant): Promise<HybridCryptoEnvelopeV1> =>
  sealVersion1(provider, keys, TENANT, plaintext)
/** Opens through JSON, as if it had travelled. */
const openV1 = ({ provider, reader }: Tenant, envelope: unknown): Uint8Array =>
  openVersion1(provider, JSON.parse(JSON.stringify(envelope)), reader)

const KEM: Path = ['encrypted', 'ciphertext_kem']
const DATA: Path = ['encrypted', 'ciphertext_data']
const signedPaths: readonly { path: Path; length: number }[] = [
  { path: KEM, length: 1088 },
  { path: DATA, length: 12 + plaintext.length + 16 },
  { path: ['signature', 'pqc_signature'], length: 3309 },
  { path: ['signature', 'hmac_signature'], length: 64 },
]
const bytesAt = (envelope: HybridCryptoEnvelopeV1, path: Path) =>
  fromBase64(String(getAt(envelope, path))) ?? assert.fail('not canonical')

for (const [provider, peer] of [
  [opensslProvider, nobleProvider],
  [nobleProvider, opensslProvider],
] as const) {
  const tenant = makeTenant(provider)

  test(`${provider.name}: version 1 has six members in two objects, and ${peer.name} opens it`, async () => {
    const envelope = await seal(tenant)
    assert.deepEqual(Object.keys(envelope), ['encrypted', 'signature'])
    assert.equal(leavesOf(envelope).length, 8)
    for (const { path, length } of signedPaths) assert.equal(bytesAt(envelope, path).length, length)
    assert.deepEqual([envelope.encrypted.tenant_id, envelope.signature.tenant_id], [TENANT, TENANT])
    assert.deepEqual(openV1(makeTenant(peer), envelope), plaintext)
    assert.deepEqual(openV1(tenant, envelope), plaintext)
  })

  test(`${provider.name}: a version 1 envelope with a member missing, of another type or beside a new one is refused`, async () => {
    const envelope = await seal(tenant)
    const paths = [...leavesOf(envelope), ['encrypted'], ['signature']]
    assert.equal(paths.length, 10)
    for (const path of paths) {
      for (const value of [undefined, null, '', {}, [], true, 7, 'x'.repeat(1024)]) {
        assert.throws(
          () => openV1(tenant, setAt(envelope, path, value)),
          refusal(),
          `${path.join('.')} ${typeof value}`,
        )
      }
    }
    for (const path of [['x'], ['version'], ['encrypted', 'x'], ['signature', 'key_id']]) {
      assert.throws(() => openV1(tenant, setAt(envelope, path, 2)), refusal(), path.join('.'))
    }
    for (const value of [null, [], 'text', 1]) assert.throws(() => openV1(tenant, value), refusal())
    assert.deepEqual(openV1(tenant, envelope), plaintext)
  })

  test(`${provider.name}: version 1 bytes changed, shortened or extended are refused`, async () => {
    const envelope = await seal(tenant)
    for (const { path } of signedPaths) {
      const bytes = bytesAt(envelope, path)
      const wrongs = [bytes.subarray(1), bytes.subarray(0, -1), concatBytes(bytes, new Uint8Array(1)), new Uint8Array()]
      for (const bit of [0, 7, bytes.length * 4, bytes.length * 8 - 1]) wrongs.push(flipBit(bytes, bit))
      for (const wrong of wrongs) {
        assert.throws(() => openV1(tenant, setAt(envelope, path, toBase64(wrong))), refusal(), path.join('.'))
      }
      const lenient = [`${String(getAt(envelope, path))}\n`, ` ${String(getAt(envelope, path))}`]
      for (const text of lenient) assert.throws(() => openV1(tenant, setAt(envelope, path, text)), refusal())
    }
    assert.deepEqual(openV1(tenant, envelope), plaintext)
  })

  test(`${provider.name}: version 1 of another tenant, key, algorithm or spelling of the tenant is refused`, async () => {
    const envelope = await seal(tenant)
    const swapped = setAt(
      setAt(envelope, ['encrypted', 'tenant_id'], OTHER_TENANT),
      ['signature', 'tenant_id'],
      OTHER_TENANT,
    )
    assert.throws(() => openV1(tenant, swapped), refusal())
    assert.throws(() => openV1(tenant, setAt(envelope, ['signature', 'tenant_id'], OTHER_TENANT)), refusal())
    assert.throws(() => openV1(tenant, setAt(envelope, ['encrypted', 'tenant_id'], TENANT.toUpperCase())), refusal())
    for (const name of ['ML-KEM-512', 'ML-KEM-1024', 'X-Wing', 'ml-kem-768', 'RSA']) {
      assert.throws(() => openV1(tenant, setAt(envelope, ['encrypted', 'algorithm'], name)), refusal(), name)
    }
    for (const name of ['ML-DSA-44', 'ML-DSA-65', 'ECDSA', 'HMAC-SHA-512']) {
      assert.throws(() => openV1(tenant, setAt(envelope, ['signature', 'algorithm'], name)), refusal(), name)
    }
    const other = makeTenant(provider, 'two')
    for (const part of ['kem', 'verify', 'mac'] as const) {
      const reader = { ...tenant.reader, [part]: other.reader[part] }
      assert.throws(() => openVersion1(provider, envelope, reader), refusal(), part)
    }
    assert.deepEqual(openV1(tenant, envelope), plaintext)
  })

  test(`${provider.name}: each signature of version 1 alone is not enough`, async () => {
    const other = makeTenant(provider, 'two')
    const wrongMac = await seal({ ...tenant, keys: { ...tenant.keys, mac: other.keys.mac } })
    const wrongSignature = await seal({ ...tenant, keys: { ...other.keys, mac: tenant.keys.mac } })
    for (const bad of [wrongMac, wrongSignature]) assert.throws(() => openV1(tenant, bad), refusal())
    assert.deepEqual(openV1(tenant, await seal(tenant)), plaintext)
  })

  test(`${provider.name}: a key of one version never makes an envelope of the other`, async () => {
    const parties = makeParties(provider)
    const issuer = makeIssuer(provider, 'one')
    const byVersion1 = await forge(parties, { signing: tenant.keys.signing, context: '' })
    assert.throws(() => open(parties, byVersion1), refusal())
    const rightContext = await forge(parties, { signing: tenant.keys.signing })
    assert.throws(() => open(parties, rightContext), refusal())

    const byIssuer = await seal({ ...tenant, keys: { ...tenant.keys, ...issuer } })
    assert.throws(() => openV1(tenant, byIssuer), refusal())
    const withContext: SigningKey = {
      ...tenant.keys.signing,
      sign: (message) => tenant.keys.signing.sign(message, utf8('sealwire/envelope/v2')),
    }
    await assert.rejects(seal({ ...tenant, keys: { ...tenant.keys, signing: withContext } }), { code: 'internal' })
  })

  test(`${provider.name}: neither version opens as the other`, async () => {
    const parties = makeParties(provider)
    const [one, two] = [await seal(tenant), await forge(parties)]
    assert.throws(() => open(parties, one), refusal())
    assert.throws(() => open(parties, { version: 2, ...one }), refusal())
    assert.throws(() => openV1(tenant, two), refusal())
    const { algorithm, ciphertext_kem, ciphertext_data } = two.encrypted
    const { pqc_signature, hmac_signature, algorithm: signed } = two.signature
    const reduced = {
      encrypted: { ciphertext_kem, ciphertext_data, tenant_id: TENANT, algorithm },
      signature: { pqc_signature, hmac_signature, tenant_id: TENANT, algorithm: signed },
    }
    assert.throws(() => openV1(tenant, reduced), refusal())
    assert.deepEqual(openV1(tenant, one), plaintext)
  })
}

test('version 1 is signed and verified off the event loop, and a signature that does not verify is made again', async () => {
  const tenant = makeTenant(opensslProvider)
  const { verify, signing } = tenant.keys
  let faults = 1
  const faulty: SigningKey = {
    ...signing,
    async sign(message, context) {
      const signature = await signing.sign(message, context)
      return faults-- > 0 ? signature.fill(0, 0, 8) : signature
    },
  }
  const onThreads = { ...verify, verify: () => assert.fail('verified on the event loop') }
  const envelope = await seal({ ...tenant, keys: { ...tenant.keys, signing: faulty, verify: onThreads } })
  assert.deepEqual(openV1(tenant, envelope), plaintext)
  assert.equal(faults, -1)
})

test('version 1 seals at most 16 MiB, and only for a UUID in lower case', async () => {
  const { provider, keys, reader } = makeTenant(opensslProvider)
  const most = 16 * 1024 * 1024
  await assert.rejects(sealVersion1(provider, keys, TENANT, new Uint8Array(most + 1)), RangeError)
  for (const id of ['ten_01kad3m5e0000000000000000a', TENANT.toUpperCase(), '']) {
    await assert.rejects(sealVersion1(provider, keys, id, plaintext), RangeError)
  }
  const largest = await sealVersion1(provider, keys, TENANT, new Uint8Array(most))
  assert.equal(openVersion1(provider, largest, reader).length, most)
})

test('the HMAC of version 1 is computed even when ML-DSA did not verify', async (t) => {
  const tenant = makeTenant(opensslProvider)
  const mac = t.mock.fn(tenant.reader.mac.mac)
  const bad = await seal({ ...tenant, keys: makeTenant(opensslProvider, 'two').keys })
  assert.throws(
    () => openVersion1(opensslProvider, bad, { ...tenant.reader, mac: { ...tenant.reader.mac, mac } }),
    refusal(),
  )
  assert.equal(mac.mock.callCount(), 1)
})
