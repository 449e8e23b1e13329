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
  | 'adk'
  | 'can'
  | 'job'
  | 'blk'
  | 'una'

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'
const ANY_ID = /^[a-z]{3,4}_([0-7][0-9a-hjkmnp-tv-z]{25})$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The tenant of events that belong to no tenant. */
export const NO_TENANT = `ten_${'0'.repeat(26)}`

/** Random bytes are fetched for many ids at once: asking for 16 of them costs as much as asking for thousands. */
const randomPool = new Uint8Array(4096)
let randomUsed = randomPool.length

function uuidV7Bytes(nowMs: number): Uint8Array {
  if (randomUsed === randomPool.length) {
    crypto.getRandomValues(randomPool)
    randomUsed = 0
  }
  const bytes = randomPool.slice(randomUsed, randomUsed + 16)
  randomUsed += 16
  new DataView(bytes.buffer).setUint16(0, Math.floor(nowMs / 2 ** 32))
  new DataView(bytes.buffer).setUint32(2, nowMs % 2 ** 32)
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f)
  return bytes
}

function crockford(bytes: Uint8Array): string {
  let out = ''
  let [bits, count] = [0, 2] // 26 digits hold 130 bits: two zeros come first
  for (const byte of bytes) {
    bits = (bits << 8) | byte
    for (count += 8; count >= 5; count -= 5) out += CROCKFORD.charAt((bits >> (count - 5)) & 31)
    bits &= 31
  }
  return out
}

/** Makes an id such as `int_01ke…`: 128 bits, ordered by creation time to the millisecond (RFC 9562 §5.7). */
export function newId(prefix: IdPrefix, nowMs: number = Date.now()): string {
  return `${prefix}_${crockford(uuidV7Bytes(nowMs))}`
}

/** Sets the hyphens of a UUID into 32 hexadecimal digits. */
function spellUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Makes a UUIDv7 in its usual spelling; vault entries have these. */
export function newUuid(nowMs: number = Date.now()): string {
  return spellUuid(Array.from(uuidV7Bytes(nowMs), (byte) => byte.toString(16).padStart(2, '0')).join(''))
}

/**
 * Spells the 128 bits of an id as a UUID: `ten_01ke…` becomes `019b…-….`, 36 characters, the same for the same id.
 *
 * @throws {RangeError} `id` is not an id of any kind
 */
export function uuidOfId(id: string): string {
  const match = ANY_ID.exec(id)
  if (!match?.[1]) throw new RangeError('Not an id')
  let value = 0n
  for (const character of match[1]) value = (value << 5n) | BigInt(CROCKFORD.indexOf(character))
  return spellUuid(value.toString(16).padStart(32, '0'))
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
