import type { CryptoProvider } from '#src/crypto/provider.ts'
import { sealBatch } from '#src/envelope/seal-batch.ts'
import { writeEnvelope } from '#src/envelope/write-envelope.ts'
import type { SealBatch } from '#src/signing/signer.ts'

/** What a crypto thread does, on the event loop. */
export function sealHere(provider: CryptoProvider): SealBatch {
  return async (issuer, sealings) => {
    const envelopes = await sealBatch(provider, issuer, sealings)
    return envelopes.map((one) => (one instanceof Error ? one : writeEnvelope(one)))
  }
}
