import { utf8 } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { HybridCryptoEnvelope } from './envelope.ts'
import { type Claims, type SealedEnvelope, type SealingRecipient, sealEnvelope } from './seal.ts'
import { type Issuer, signLeaves } from './sign-leaves.ts'

/** What becomes an envelope. */
export interface Sealing {
  readonly recipient: SealingRecipient
  readonly claims: Claims
  /** Text is taken as UTF-8; at most 16 MiB. */
  readonly plaintext: string | Uint8Array
}

function seal(provider: CryptoProvider, issuer: Issuer, { recipient, claims, plaintext }: Sealing) {
  try {
    const bytes = typeof plaintext === 'string' ? utf8(plaintext) : plaintext
    return sealEnvelope(provider, recipient, issuer.keyId, claims, bytes)
  } catch (err) {
    return err instanceof Error ? err : new Error('Not sealed', { cause: err })
  }
}

/**
 * Seals 1 to 1,024 plaintexts and signs them with one ML-DSA signature over the root of their Merkle tree. Returns in order
 * the envelope of each, or why it cannot be sealed ({@link sealEnvelope}); it does not keep the others from it.
 *
 * @throws {AppError} `internal` when the key's own signature does not verify, twice
 */
export async function sealBatch(
  provider: CryptoProvider,
  issuer: Issuer,
  sealings: readonly Sealing[],
): Promise<(HybridCryptoEnvelope | Error)[]> {
  const sealed = sealings.map((sealing) => seal(provider, issuer, sealing))
  const whole = sealed.filter((one): one is SealedEnvelope => !(one instanceof Error))
  const signatures = whole.length === 0 ? [] : await signLeaves(provider, issuer, whole)
  return sealed.map((one) => {
    const signature = one instanceof Error ? undefined : signatures.shift()
    return one instanceof Error || !signature ? (one as Error) : one.complete(signature)
  })
}
