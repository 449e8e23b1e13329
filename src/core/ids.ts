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

/** Random bits are fetched for many ids at once: asking for a few of them costs as much as asking for thousands. */
const randomPool = new Uint32Array(1024)
let randomUsed = randomPool.length

function random20Bits(): number {
  if (randomUsed === randomPool.length) {
    crypto.getRandomValues(randomPool)
    randomUsed = 0
  }
  return (randomPool[randomUsed++] as number) & 0xf_ffff
}

/** The lower 80 bits of a UUIDv7 in four numbers of 20: version 7, 12 random bits, variant 10, 62 random bits (RFC 9562 §5.7). */
function uuidV7Tail(): [number, number, number, number] {
  return [(random20Bits() & 0x0_fff3) | 0x7_0008, random20Bits(), random20Bits(), random20Bits()]
}

/** Every two digits of Crockford base32. */
const PAIRS = Array.from({ length: 1024 }, (_, i) => CROCKFORD.charAt(i >> 5) + CROCKFORD.charAt(i & 31))

/** Spells a number in Crockford base32, with two digits for every 10 bits. */
function crockford(value: number, bits: number): string {
  let out = ''
  for (let shift = bits - 10; shift >= 0; shift -= 10) out += PAIRS[Math.floor(value / 2 ** shift) & 1023]
  return out
}

/** The last millisecond that was spelt: many ids share one. */
let time = { atMs: Number.NaN, text: '' }

/** Makes an id such as `int_01ke…`: 128 bits, ordered by creation time to the millisecond (RFC 9562 §5.7). */
export function newId(prefix: IdPrefix, nowMs: number = Date.now()): string {
  const atMs = Math.floor(nowMs)
  if (time.atMs !== atMs) time = { atMs, text: crockford(atMs, 50) } // 26 digits hold 130 bits: two zeros come first
  const [a, b, c, d] = uuidV7Tail()
  return `${prefix}_${time.text}${crockford(a, 20)}${crockford(b, 20)}${crockford(c, 20)}${crockford(d, 20)}`
}

/** Sets the hyphens of a UUID into 32 hexadecimal digits. */
function spellUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Makes a UUIDv7 in its usual spelling; vault entries have these. */
export function newUuid(nowMs: number = Date.now()): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  return spellUuid([hex(Math.floor(nowMs), 12), ...uuidV7Tail().map((bits) => hex(bits, 5))].join(''))
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
