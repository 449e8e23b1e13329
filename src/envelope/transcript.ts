import { type Bytes, concatBytes, labelled, lengthPrefixed, u32 } from '../core/bytes.ts'
import { ENVELOPE_LABEL, ROOT_LABEL } from './labels.ts'

const LEAF_PREFIX = concatBytes(new Uint8Array([0x00]), labelled(ENVELOPE_LABEL))
const INFO_PREFIX = labelled(ENVELOPE_LABEL)
const ROOT_PREFIX = labelled(ROOT_LABEL)

export interface TranscriptParts {
  protectedBytes: Uint8Array
  ciphertextKem: Uint8Array
  commitment: Uint8Array
  /** `nonce || ciphertext || tag`. */
  ciphertextData: Uint8Array
}

/**
 * Writes what both signatures cover, once: `leafInput` is `0x00 || transcript`, of which SHA-384 is the leaf (RFC 9162
 * §2.1.1); `transcript` is a view of the same memory, for the HMAC.
 */
export function writeTranscript(parts: TranscriptParts): { leafInput: Bytes; transcript: Bytes } {
  const { protectedBytes, ciphertextKem, commitment, ciphertextData } = parts
  const leafInput = concatBytes(
    LEAF_PREFIX,
    u32(protectedBytes.length),
    protectedBytes,
    u32(ciphertextKem.length),
    ciphertextKem,
    u32(commitment.length),
    commitment,
    u32(ciphertextData.length),
    ciphertextData,
  )
  return { leafInput, transcript: leafInput.subarray(1) }
}

/** The message of the ML-DSA signature. The size is in it because a root alone fits several pairs of index and size. */
export function rootMessage(treeSize: number, root: Uint8Array): Bytes {
  return concatBytes(ROOT_PREFIX, u32(treeSize), root)
}

/** HKDF `info`: label and the whole header. */
export function keyInfo(protectedBytes: Uint8Array): Bytes {
  return concatBytes(INFO_PREFIX, lengthPrefixed(protectedBytes))
}
