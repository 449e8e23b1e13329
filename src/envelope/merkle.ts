import { type Bytes, concatBytes, copyBytes } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'

const NODE_PREFIX = new Uint8Array([0x01])

function node(provider: CryptoProvider, left: Uint8Array, right: Uint8Array): Bytes {
  return provider.sha384(concatBytes(NODE_PREFIX, left, right))
}

/** Hashes one level up; a last node without a neighbour moves up as it is. */
function levelAbove(provider: CryptoProvider, level: readonly Bytes[]): Bytes[] {
  const above: Bytes[] = []
  for (let i = 0; i < level.length; i += 2) {
    const [left, right] = [level[i] as Bytes, level[i + 1]]
    above.push(right ? node(provider, left, right) : left)
  }
  return above
}

/**
 * Builds the Merkle tree over leaf hashes (RFC 9162 §2.1.1 with SHA-384) and every inclusion proof (§2.1.3.1). Going up
 * level by level gives the tree that the RFC defines from the top.
 *
 * @throws {RangeError} no leaf
 */
export function merkleTree(provider: CryptoProvider, leaves: readonly Bytes[]): { root: Bytes; proofs: Bytes[][] } {
  const proofs: Bytes[][] = leaves.map(() => [])
  let level = leaves
  for (let height = 0; level.length > 1; height++) {
    for (const [i, proof] of proofs.entries()) {
      const neighbour = level[(i >> height) ^ 1]
      if (neighbour) proof.push(neighbour)
    }
    level = levelAbove(provider, level)
  }
  const root = level[0]
  if (!root) throw new RangeError('A tree needs a leaf')
  return { root: copyBytes(root), proofs }
}

/**
 * Computes the root that a proof leads to (RFC 9162 §2.1.3.2); `undefined` when the proof has not exactly the hashes that
 * this index in a tree of this size needs. The caller compares or verifies the root.
 */
export function rootFromProof(
  provider: CryptoProvider,
  leaf: Bytes,
  position: { leafIndex: number; treeSize: number },
  hashes: readonly Bytes[],
): Bytes | undefined {
  let [index, size, used, result] = [position.leafIndex, position.treeSize, 0, leaf]
  if (index < 0 || index >= size) return undefined
  for (; size > 1; size = Math.ceil(size / 2), index >>= 1) {
    const isRight = index % 2 === 1
    if (!isRight && index === size - 1) continue // no neighbour on this level
    const neighbour = hashes[used++]
    if (!neighbour) return undefined
    result = isRight ? node(provider, neighbour, result) : node(provider, result, neighbour)
  }
  return used === hashes.length ? result : undefined
}
