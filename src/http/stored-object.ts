import type { Clock } from '../core/clock.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { HybridCryptoEnvelope } from '../envelope/envelope.ts'
import { type SealingRecipient, sealEnvelope } from '../envelope/seal.ts'
import { type EncryptionContext, storedObjectClaims, writeStoredObject } from '../envelope/stored-object.ts'
import type { Reservation } from '../signing/signer.ts'

/**
 * Largest object: its envelope, and the context beside it, fit into the body of a request that decrypts it (1 MiB), after
 * base64 twice.
 */
export const MAX_OBJECT_BYTES = 512 * 1024

/** Seals data of the caller to the object key of the tenant and has it signed in the place that was reserved for it. */
export function sealStoredObject(
  { provider, clock }: { provider: CryptoProvider; clock: Pick<Clock, 'now'> },
  recipient: SealingRecipient,
  reservation: Reservation,
  object: { requestId: string; context: EncryptionContext; data: Uint8Array },
): Promise<HybridCryptoEnvelope> {
  const claims = storedObjectClaims(object.requestId, Math.floor(clock.now() / 1000))
  const plaintext = writeStoredObject(object.context, object.data)
  return reservation.sign((issuerKeyId) => sealEnvelope(provider, recipient, issuerKeyId, claims, plaintext))
}
