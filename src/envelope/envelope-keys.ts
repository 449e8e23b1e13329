import { type Bytes, concatBytes, wipe } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { keyInfo } from './transcript.ts'

export interface EnvelopeKeys {
  /** 32 bytes; wipe after use. */
  aesKey: Bytes
  /** 32 bytes, sent in the clear: ties the shared secret to this ciphertext, which GCM alone does not. */
  commitment: Bytes
}

export interface KeyInput {
  sharedSecret: Uint8Array
  ciphertextKem: Uint8Array
  /** The recipient's encapsulation key. */
  kemPublicKey: Uint8Array
  protectedBytes: Uint8Array
}

/** Derives the keys of one envelope with HKDF-SHA-512 (RFC 5869); salt and info bind ciphertext, recipient key and header. */
export function deriveEnvelopeKeys(provider: CryptoProvider, input: KeyInput): EnvelopeKeys {
  const salt = provider.sha512(concatBytes(input.ciphertextKem, input.kemPublicKey))
  const length = sizes.aesKey + sizes.commitment
  const okm = provider.hkdfSha512(input.sharedSecret, salt, keyInfo(input.protectedBytes), length)
  const keys = { aesKey: okm.slice(0, sizes.aesKey), commitment: okm.slice(sizes.aesKey) }
  wipe(okm)
  return keys
}
