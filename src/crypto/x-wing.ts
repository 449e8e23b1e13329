import { type Bytes, concatBytes, utf8 } from '../core/bytes.ts'
import { sizes } from './sizes.ts'

/** Six characters that draw a wing; the last input of the combiner. */
const LABEL = utf8('\\.//^\\')

/** Bytes that the seed is expanded to with SHAKE-256: the ML-KEM seed `d || z`, then the X25519 scalar. */
export const X_WING_EXPANDED_BYTES = sizes.kemSeed + sizes.x25519

export interface Halves {
  readonly mlKem: Uint8Array
  readonly x25519: Uint8Array
}

/** Splits an encapsulation key (1216 bytes) into those of ML-KEM-768 (1184) and X25519 (32); views, not copies. */
export function splitPublicKey(bytes: Uint8Array): Halves {
  return { mlKem: bytes.subarray(0, sizes.kemPublicKey), x25519: bytes.subarray(sizes.kemPublicKey) }
}

/** Splits a ciphertext (1120 bytes) into those of ML-KEM-768 (1088) and X25519 (32); views, not copies. */
export function splitCiphertext(bytes: Uint8Array): Halves {
  return { mlKem: bytes.subarray(0, sizes.kemCiphertext), x25519: bytes.subarray(sizes.kemCiphertext) }
}

/** Splits an expanded seed (96 bytes) into the ML-KEM seed (64) and the X25519 scalar (32); views, not copies. */
export function splitExpandedSeed(bytes: Uint8Array): Halves {
  return { mlKem: bytes.subarray(0, sizes.kemSeed), x25519: bytes.subarray(sizes.kemSeed) }
}

export interface CombinerInput {
  /** Shared secrets of both halves, 32 bytes each. */
  readonly secretMlKem: Uint8Array
  readonly secretX25519: Uint8Array
  /** The ephemeral X25519 key of the sender, and the recipient's, 32 bytes each. */
  readonly ciphertextX25519: Uint8Array
  readonly publicKeyX25519: Uint8Array
}

/**
 * Writes what SHA3-256 hashes to the shared secret of X-Wing (134 bytes; wipe after use). The ML-KEM ciphertext is not in it
 * because ML-KEM's own secret depends on it.
 *
 * @see draft-connolly-cfrg-xwing-kem-10 §5.3
 */
export function combinerInput(input: CombinerInput): Bytes {
  const { secretMlKem, secretX25519, ciphertextX25519, publicKeyX25519 } = input
  return concatBytes(secretMlKem, secretX25519, ciphertextX25519, publicKeyX25519, LABEL)
}
