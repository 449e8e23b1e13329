import type { CryptoProvider } from '../crypto/provider.ts'
import { MAX_TREE_SIZE } from './envelope.ts'
import { ENVELOPE_CONTEXT } from './labels.ts'
import { merkleTree } from './merkle.ts'
import type { LeafSignature, SealedEnvelope } from './seal.ts'
import { type SigningPair, signVerified } from './sign-verified.ts'
import { rootMessage } from './transcript.ts'

/** The active issuer key of the deployment. */
export interface Issuer extends SigningPair {
  readonly keyId: string
}

/**
 * Signs 1 to 1,024 sealed envelopes with one ML-DSA signature over the root of their Merkle tree, and returns for each, in
 * order, that signature and its inclusion proof. One envelope alone is its own root.
 *
 * @throws {RangeError} no envelope, too many, or one that names another issuer key
 * @throws {AppError} `internal` when the key's own signature does not verify, twice
 */
export async function signLeaves(
  provider: CryptoProvider,
  issuer: Issuer,
  sealed: readonly SealedEnvelope[],
): Promise<LeafSignature[]> {
  if (sealed.length > MAX_TREE_SIZE) throw new RangeError(`Over ${MAX_TREE_SIZE} envelopes`)
  if (sealed.some(({ issuerKeyId }) => issuerKeyId !== issuer.keyId))
    throw new RangeError('Sealed for another issuer key')
  const treeSize = sealed.length
  const { root, proofs } = merkleTree(
    provider,
    sealed.map(({ leaf }) => leaf),
  )
  const signature = await signVerified(issuer, rootMessage(treeSize, root), ENVELOPE_CONTEXT)
  return proofs.map((hashes, leafIndex) => ({ signature, leafIndex, treeSize, hashes }))
}
