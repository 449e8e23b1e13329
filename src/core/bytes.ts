/** Bytes that own their memory; every format function takes and returns these. */
export type Bytes = Uint8Array<ArrayBuffer>

const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Encodes text as UTF-8. Lone surrogates become U+FFFD, so judge text before encoding it. */
export function utf8(text: string): Bytes {
  return encoder.encode(text)
}

/** Decodes UTF-8 and keeps a byte order mark; throws `TypeError` for bytes that are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes)
}

export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** Big-endian, 4 bytes; throws `RangeError` outside 0 … 2^32 − 1. */
export function u32(value: number): Bytes {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new RangeError('u32 out of range')
  const out = new Uint8Array(4)
  out[0] = value >>> 24
  out[1] = value >>> 16
  out[2] = value >>> 8
  out[3] = value
  return out
}

/** Big-endian, 8 bytes; throws `RangeError` outside 0 … 2^53 − 1. */
export function u64(value: number): Bytes {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('u64 out of range')
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, BigInt(value))
  return out
}

/** `LP(x) = u32(len(x)) || x`; text is taken as UTF-8. */
export function lengthPrefixed(value: Uint8Array | string): Bytes {
  const bytes = typeof value === 'string' ? utf8(value) : value
  return concatBytes(u32(bytes.length), bytes)
}

const ZERO = new Uint8Array(1)

/** `label || 0x00 || parts`: how every hash, MAC, KDF info and signed message of ours begins. */
export function labelled(label: string, ...parts: readonly Uint8Array[]): Bytes {
  return concatBytes(utf8(label), ZERO, ...parts)
}

/** Compares without stopping at the first difference. Lengths are public. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number)
  return difference === 0
}

/** Copies into memory of its own, for values that share a larger buffer (`Buffer` pools, subarrays). */
export function copyBytes(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes)
}

/** Overwrites secrets in place. Best effort: the runtime may have copied them before. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}
