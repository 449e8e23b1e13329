import type { Bytes } from '../core/bytes.ts'
import { Secret } from '../core/secret.ts'
import { nobleProvider } from '../crypto/noble.ts'
import type { CryptoProvider, KemPrivateKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import type { ReaderRecipient } from '../envelope/open.ts'
import { ML_KEM_SUITE } from '../envelope/suites.ts'

/** A key pair that no server knows yet. The seed is 64 bytes, and the only copy of it. */
export interface NewRecipient {
  suite: string
  kemSeed: Secret<Bytes>
  /** 1184 bytes. */
  kemPublicKey: Bytes
}

/** Who may open answers: a KEM key that only the client has, and the MAC key that came with its enrolment. */
export interface Recipient {
  suite: string
  baseUrl: string
  tenantId: string
  recipientId: string
  kemKeyId: string
  /** 64 bytes, `d || z`. */
  kemSeed: Secret<Bytes>
  macKeyId: string
  /** 64 bytes. */
  macKey: Secret<Bytes>
  /** The pinned root: base64url of the SHA-384 of its public key, 64 characters. */
  root: string
}

/** Makes the key pair of a recipient. Enrol it with `client.recipients.enroll`, and keep the result. */
export function createRecipient(provider: CryptoProvider = nobleProvider): NewRecipient {
  const seed = provider.randomBytes(sizes.kemSeed)
  return {
    suite: ML_KEM_SUITE,
    kemSeed: new Secret(seed),
    kemPublicKey: provider.kemPrivateKey(seed).publicKey,
  }
}

/** Imports the keys of a recipient once, for the many envelopes it opens. */
export function readerOf(provider: CryptoProvider, recipient: Recipient): ReaderRecipient {
  const { tenantId, recipientId, suite, kemKeyId, macKeyId } = recipient
  const kem: KemPrivateKey = provider.kemPrivateKey(recipient.kemSeed.reveal())
  return { tenantId, recipientId, suite, kemKeyId, kem, macKeyId, mac: provider.macKey(recipient.macKey.reveal()) }
}
