/** Prefix of each kind of id; the rest is a UUIDv7 in Crockford base32, lower case, 26 characters. */
export type IdPrefix =
  | 'ten'
  | 'key'
  | 'int'
  | 'pol'
  | 'sub'
  | 'rcp'
  | 'usr'
  | 'whk'
  | 'aud'
  | 'kem'
  | 'sig'
  | 'mac'
  | 'req'
  | 'msg'
  | 'root'
  | 'vlt'
  | 'pep'
  | 'cur'
  | 'hed'
  | 'can'

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The tenant of events that belong to no tenant. */
export const NO_TENANT = `ten_${'0'.repeat(26)}`

function uuidV7Bytes(nowMs: number): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  new DataView(bytes.buffer).setUint16(0, Math.floor(nowMs / 2 ** 32))
  new DataView(bytes.buffer).setUint32(2, nowMs % 2 ** 32)
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  return bytes
}

function crockford(bytes: Uint8Array): string {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  let out = ''
  for (let i = 0; i < 26; i++) {
    out = CROCKFORD.charAt(Number(value & 31n)) + out
    value >>= 5n
  }
  return out
}

/** Makes an id such as `int_01ke…`: 128 bits, ordered by creation time to the millisecond (RFC 9562 §5.7). */
export function newId(prefix: IdPrefix, nowMs: number = Date.now()): string {
  return `${prefix}_${crockford(uuidV7Bytes(nowMs))}`
}

/** Makes a UUIDv7 in its usual spelling; vault entries have these. */
export function newUuid(nowMs: number = Date.now()): string {
  const hex = Array.from(uuidV7Bytes(nowMs), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Reports whether `text` has the shape of an id of that kind. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return (
    text.length === prefix.length + 27 &&
    text.startsWith(`${prefix}_`) &&
    /^[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(text.slice(prefix.length + 1))
  )
}

/** Reports whether `text` is a UUID in lower case. */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}
