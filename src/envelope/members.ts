import { fromBase64 } from '../core/base64.ts'
import type { Bytes } from '../core/bytes.ts'
import { sizes } from '../crypto/sizes.ts'
import { MAX_PLAINTEXT_BYTES } from './envelope.ts'

/** An object with exactly these members of its own, else `undefined`. */
export function exactly<K extends string>(value: unknown, ...members: readonly K[]): Record<K, unknown> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const own = Object.keys(value)
  const fits = own.length === members.length && members.every((member) => Object.hasOwn(value, member))
  return fits ? (value as Record<K, unknown>) : undefined
}

/** Canonical base64 of `min` to `max` bytes; the length of the text is judged before it is decoded. */
export function decode(text: unknown, min: number, max: number = min): Bytes | undefined {
  if (typeof text !== 'string' || text.length > 4 * Math.ceil(max / 3)) return undefined
  const bytes = fromBase64(text)
  return bytes && bytes.length >= min && bytes.length <= max ? bytes : undefined
}

const MAX_DATA_BYTES = sizes.gcmNonce + MAX_PLAINTEXT_BYTES + sizes.gcmTag

/** Canonical base64 of `nonce[12] || ciphertext || tag[16]`, for a plaintext of at most 16 MiB. */
export function decodeCiphertext(text: unknown): Bytes | undefined {
  return decode(text, sizes.gcmNonce + sizes.gcmTag, MAX_DATA_BYTES)
}
