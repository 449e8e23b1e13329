/** Refuses bytes of another length; a wrong length here is a mistake of the caller, never of a peer. */
export function checkLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${what} must be ${length} bytes`)
}

/** Refuses what either implementation of HKDF-SHA-512 refuses: output over 255 blocks (RFC 5869 §2.3), `info` over 1,024 bytes. */
export function checkHkdf(info: Uint8Array, length: number): void {
  if (info.length > 1024) throw new RangeError('HKDF info must be at most 1024 bytes')
  if (!Number.isInteger(length) || length < 1 || length > 255 * 64) throw new RangeError('HKDF length out of range')
}

/** Longest context string of ML-DSA (FIPS 204 §5.2). */
export const MAX_CONTEXT = 255

export function checkContext(context: Uint8Array): void {
  if (context.length > MAX_CONTEXT) throw new RangeError(`ML-DSA context must be at most ${MAX_CONTEXT} bytes`)
}
