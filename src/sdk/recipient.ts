import type { Bytes } from '../core/bytes.ts'
import { Secret } from '../core/secret.ts'
import { nobleProvider } from '../crypto/noble.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ReaderRecipient } from '../envelope/open.ts'
import { findSuite, ML_KEM_SUITE, type SUITE_NAMES, type Suite } from '../envelope/suites.ts'
import { SealwireError } from './sealwire-error.ts'

/** `ML_KEM_SUITE` or `X_WING_SUITE`. */
export type SuiteName = (typeof SUITE_NAMES)[number]

/** A key pair that no server knows yet. The seed is the only copy of it: 64 bytes for ML-KEM-768, 32 for X-Wing. */
export interface NewRecipient {
  suite: string
  kemSeed: Secret<Bytes>
  /** 1184 bytes of ML-KEM-768, 1216 of X-Wing. */
  kemPublicKey: Bytes
}

/** Who may open answers: a KEM key that only the client has, and the MAC key that came with its enrolment. */
export interface Recipient {
  suite: string
  baseUrl: string
  tenantId: string
  recipientId: string
  kemKeyId: string
  /** `d || z` of ML-KEM-768, 64 bytes; that of X-Wing, 32 bytes. */
  kemSeed: Secret<Bytes>
  macKeyId: string
  /** 64 bytes. */
  macKey: Secret<Bytes>
  /** The pinned root: base64url of the SHA-384 of its public key, 64 characters. */
  root: string
}

export interface NewRecipientOptions {
  /** `ML_KEM_SUITE` by default. `X_WING_SUITE` also holds if ML-KEM should break, as long as X25519 does not. */
  suite?: SuiteName
  provider?: CryptoProvider
}

/** Finds a suite that this SDK knows; every other is refused. */
export function suiteOf(name: string): Suite {
  const suite = findSuite(name)
  if (suite) return suite
  throw new SealwireError('request.invalid', 'suite: not one this SDK knows.', { outcome: 'rejected' })
}

/**
 * Makes the key pair of a recipient. Enrol it with `client.recipients.enroll`, and keep the result.
 *
 * @throws {SealwireError} `request.invalid` for an unknown suite
 */
export function createRecipient({
  suite: name = ML_KEM_SUITE,
  provider = nobleProvider,
}: NewRecipientOptions = {}): NewRecipient {
  const suite = suiteOf(name)
  const seed = provider.randomBytes(suite.seedBytes)
  return { suite: name, kemSeed: new Secret(seed), kemPublicKey: suite.privateKey(provider, seed).publicKey }
}

/** Imports the keys of a recipient once, for the many envelopes it opens. */
export function readerOf(provider: CryptoProvider, recipient: Recipient): ReaderRecipient {
  const { tenantId, recipientId, suite, kemKeyId, macKeyId } = recipient
  const kem = suiteOf(suite).privateKey(provider, recipient.kemSeed.reveal())
  return { tenantId, recipientId, suite, kemKeyId, kem, macKeyId, mac: provider.macKey(recipient.macKey.reveal()) }
}
