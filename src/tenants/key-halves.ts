import { type Bytes, copyBytes } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { suiteOf } from './recipient.ts'

/** The lowest byte of 2^255 − 19; all others of it are 255, but for the highest, which is 127. */
const PRIME_LOW_BYTE = 0xed

/** Writes an X25519 key in its one spelling: X25519 ignores the highest bit, and reduces what is over the prime (RFC 7748 §5). */
function canonicalX25519(key: Uint8Array): Bytes {
  const canonical = copyBytes(key)
  const last = canonical.length - 1
  canonical[last] = (canonical[last] ?? 0) & 0x7f
  const low = canonical[0] ?? 0
  const isOver = canonical[last] === 0x7f && canonical.subarray(1, last).every((byte) => byte === 0xff)
  if (isOver && low >= PRIME_LOW_BYTE) canonical.fill(0).set([low - PRIME_LOW_BYTE])
  return canonical
}

/**
 * Hashes (SHA-384) each part of an encapsulation key, so that a part is known again in a key of any suite.
 *
 * @throws {AppError} `vault.unavailable` for a suite that this release does not know
 */
export function halfHashes(
  provider: CryptoProvider,
  { suite, kemPublicKey }: { suite: string; kemPublicKey: Uint8Array },
): Bytes[] {
  const halves = suiteOf(suite).halves(kemPublicKey)
  return halves.map((half) => provider.sha384(half.length === sizes.x25519 ? canonicalX25519(half) : half))
}
