import { type Bytes, equalBytes, wipe } from '../core/bytes.ts'
import type { CryptoProvider, KemPrivateKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { deriveEnvelopeKeys } from './envelope-keys.ts'
import { rejected } from './rejected.ts'
import type { TranscriptParts } from './transcript.ts'

/**
 * Decapsulates, derives, compares the commitment in constant time and opens AES-256-GCM. Only for what verified.
 *
 * @throws {AppError} `envelope.rejected`
 */
export function decryptParts(provider: CryptoProvider, kem: KemPrivateKey, parts: TranscriptParts): Bytes {
  const { protectedBytes, ciphertextKem, ciphertextData } = parts
  const sharedSecret = kem.decapsulate(ciphertextKem)
  const { aesKey, commitment } = deriveEnvelopeKeys(provider, {
    sharedSecret,
    ciphertextKem,
    kemPublicKey: kem.publicKey,
    protectedBytes,
  })
  const nonce = ciphertextData.subarray(0, sizes.gcmNonce)
  const sealed = ciphertextData.subarray(sizes.gcmNonce)
  const plaintext = equalBytes(commitment, parts.commitment)
    ? provider.aesGcmOpen(aesKey, nonce, sealed, protectedBytes)
    : undefined
  wipe(sharedSecret, aesKey)
  if (!plaintext) throw rejected()
  return plaintext
}
