import type { Bytes } from './bytes.ts'

type Alphabet = 'base64' | 'base64url'

/** Present from Node 25 and in current browsers; Node 24 takes the slower way. */
interface NativeCodec {
  toBase64?(options: { alphabet: Alphabet; omitPadding: boolean }): string
}
interface NativeConstructor {
  fromBase64?(text: string, options: { alphabet: Alphabet; lastChunkHandling: 'strict' | 'loose' }): Bytes
}

/** Encodes as standard base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  const native = (bytes as NativeCodec).toBase64?.({ alphabet: 'base64', omitPadding: false })
  if (native !== undefined) return native
  let binary = ''
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return btoa(binary)
}

/** Encodes as base64url without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  const native = (bytes as NativeCodec).toBase64?.({ alphabet: 'base64url', omitPadding: true })
  return native ?? toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
}

function decode(text: string): Bytes {
  const native = (Uint8Array as unknown as NativeConstructor).fromBase64
  if (native) return native.call(Uint8Array, text, { alphabet: 'base64', lastChunkHandling: 'loose' })
  const binary = atob(text)
  const out = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i)
  return out
}

/**
 * Decodes standard base64 and returns `undefined` unless `text` is the one canonical spelling (alphabet, padding, zero
 * padding bits, no white space): decoded, encoded again and compared.
 */
export function fromBase64(text: string): Bytes | undefined {
  if (text.length % 4 !== 0) return undefined
  try {
    const bytes = decode(text)
    return toBase64(bytes) === text ? bytes : undefined
  } catch {
    return undefined // not base64 at all
  }
}

/** Decodes unpadded base64url; `undefined` unless canonical, as {@link fromBase64}. */
export function fromBase64Url(text: string): Bytes | undefined {
  if (/[^A-Za-z0-9_-]/.test(text) || text.length % 4 === 1) return undefined
  const padded = text.replaceAll('-', '+').replaceAll('_', '/') + '='.repeat((4 - (text.length % 4)) % 4)
  return fromBase64(padded)
}
