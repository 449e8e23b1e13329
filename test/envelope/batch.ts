import assert from 'node:assert/strict'
import type { HybridCryptoEnvelope } from '#src/envelope/envelope.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { ANSWER, type Parties, PLAINTEXT } from './parties.ts'

/** Seals `count` answers and signs them under one root. */
export async function sealBatch(
  parties: Parties,
  count: number,
  plaintext = PLAINTEXT,
): Promise<HybridCryptoEnvelope[]> {
  const { provider, recipient, issuer } = parties
  const seal = () => sealEnvelope(provider, recipient.sealing, issuer.keyId, ANSWER, plaintext)
  const sealed = Array.from({ length: count }, seal)
  const signatures = await signLeaves(provider, issuer, sealed)
  return sealed.map((one, i) => one.complete(signatures[i] ?? assert.fail()))
}
