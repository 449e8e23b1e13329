import { utf8 } from '#src/core/bytes.ts'
import type { CryptoProvider } from '#src/crypto/provider.ts'
import type { IssuerKey, ReaderRecipient } from '#src/envelope/open.ts'
import type { Claims, SealingRecipient } from '#src/envelope/seal.ts'
import type { Issuer } from '#src/envelope/sign-leaves.ts'
import { findSuite, ML_KEM_SUITE } from '#src/envelope/suites.ts'

/** The moment of every test, Unix seconds. */
export const NOW_S = 1_795_000_000

export const ANSWER: Claims = {
  op: 'proxy.publish',
  sub: 'int_one',
  rid: 'req_one',
  rqh: 'h'.repeat(64),
  st: 200,
  seq: null,
  iat: NOW_S,
  exp: NOW_S + 300,
}

export const PLAINTEXT = utf8('{"success":true,"data":{"outcome":"acknowledged"},"error":null}')

/** Bytes of a given length that depend on `name` alone, so that every run has the same keys. */
export function seedOf(provider: CryptoProvider, name: string, length: number): Uint8Array {
  return provider.sha512(utf8(name)).subarray(0, length)
}

export interface Recipient {
  sealing: SealingRecipient
  reader: ReaderRecipient
}

export interface RecipientIds {
  tenantId: string
  recipientId: string
  kemKeyId: string
  macKeyId: string
}

export function makeRecipient(
  provider: CryptoProvider,
  name: string,
  ids: Partial<RecipientIds> = {},
  suiteName = ML_KEM_SUITE,
): Recipient {
  const suite = findSuite(suiteName)
  const kem = suite?.privateKey(provider, seedOf(provider, `kem ${name}`, suite.seedBytes))
  const publicKey = kem && suite?.publicKey(provider, kem.publicKey)
  if (!publicKey) throw new Error('no public key')
  const common = {
    tenantId: 'ten_one',
    recipientId: `rcp_${name}`,
    suite: suiteName,
    kemKeyId: `kem_${name}`,
    macKeyId: `mac_${name}`,
    mac: provider.macKey(seedOf(provider, `mac ${name}`, 64)),
    ...ids,
  }
  return { sealing: { ...common, kem: publicKey }, reader: { ...common, kem } }
}

export interface TestIssuer extends Issuer {
  published: IssuerKey
}

export function makeIssuer(provider: CryptoProvider, name: string, keyId = `sig_${name}`): TestIssuer {
  const signing = provider.signingKey(seedOf(provider, `sig ${name}`, 32))
  const verify = provider.verifyKey(signing.publicKey)
  if (!verify) throw new Error('no verify key')
  const window = { notBefore: NOW_S - 3600, notAfter: null }
  return { keyId, signing, verify, published: { keyId, use: 'envelope-v2', state: 'active', ...window, key: verify } }
}

export function issuerMap(...keys: readonly IssuerKey[]): ReadonlyMap<string, IssuerKey> {
  return new Map(keys.map((key) => [key.keyId, key]))
}

export interface Parties {
  provider: CryptoProvider
  recipient: Recipient
  issuer: TestIssuer
}

export function makeParties(provider: CryptoProvider, suite = ML_KEM_SUITE): Parties {
  return { provider, recipient: makeRecipient(provider, 'one', {}, suite), issuer: makeIssuer(provider, 'one') }
}
