import { type Bytes, decodeUtf8, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'

const MAX_MEMBERS = 64
const MAX_NAME = 128
const MAX_VALUES_BYTES = 65_536
const MAX_METADATA_BYTES = 8_192

/** What screens show in place of a secret; stored, it would replace the secret. */
const MASK = /^[*•●]{3,}$/

/** U+0000 and lone surrogates, as `JSON.stringify` escapes them: PostgreSQL keeps neither in `jsonb`. */
const NOT_STORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/

export type Values = Readonly<Record<string, unknown>>

function invalid(message: string): AppError {
  return new AppError('request.invalid', message)
}

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Writes the values of a credential as JSON, as they are; `__proto__` is a member like any other.
 *
 * @throws {AppError} `request.invalid` unless an object of 1 to 64 members, names of 1 to 128 characters, at most 64 KiB,
 * no text that is a mask (`****`)
 */
export function encodeValues(values: unknown): Bytes {
  if (!isObject(values)) throw invalid('values: must be an object.')
  const names = Object.keys(values)
  if (names.length < 1 || names.length > MAX_MEMBERS) throw invalid(`values: must have 1 to ${MAX_MEMBERS} members.`)
  if (!names.every((name) => name.length >= 1 && name.length <= MAX_NAME)) {
    throw invalid(`values: names must have 1 to ${MAX_NAME} characters.`)
  }
  if (Object.values(values).some((value) => typeof value === 'string' && MASK.test(value))) {
    throw invalid('values: a value is a mask, such as ****; send the value itself, or leave the values out.')
  }
  const bytes = utf8(JSON.stringify(values))
  if (bytes.length > MAX_VALUES_BYTES) throw invalid(`values: must be at most ${MAX_VALUES_BYTES} bytes as JSON.`)
  return bytes
}

/** Reads what {@link encodeValues} wrote and authenticated encryption kept. */
export function decodeValues(bytes: Uint8Array): Record<string, unknown> {
  return JSON.parse(decodeUtf8(bytes)) as Record<string, unknown>
}

const [QUOTE, BACKSLASH, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c]
const OPENING = [0x7b, 0x5b]
const CLOSING = [0x7d, 0x5d]

/**
 * Reads some members of what {@link encodeValues} wrote, and makes no text of the values of the others: they may be secrets,
 * and text cannot be wiped.
 */
export function decodeMembers(bytes: Uint8Array, wanted: ReadonlySet<string>): Record<string, unknown> {
  const found: [name: string, value: unknown][] = []
  const parse = (from: number, to: number): unknown => JSON.parse(decodeUtf8(bytes.subarray(from, to)))
  let [depth, from, colon, inText] = [0, 1, 0, false]
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (inText) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) inText = false
    } else if (byte === QUOTE) inText = true
    else if (OPENING.includes(byte)) depth++
    else if (byte === COLON && depth === 1) colon = at
    else if (depth === 1 && (byte === COMMA || CLOSING.includes(byte))) {
      const name = String(parse(from, colon))
      if (wanted.has(name)) found.push([name, parse(colon + 1, at)])
      from = at + 1
    } else if (CLOSING.includes(byte)) depth--
  }
  return Object.fromEntries(found)
}

/**
 * Writes the metadata of an entry as JSON; it is not secret.
 *
 * @throws {AppError} `request.invalid` unless an object, at most 8 KiB, without U+0000 and lone surrogates
 */
export function encodeMetadata(metadata: unknown = {}): string {
  if (!isObject(metadata)) throw invalid('metadata: must be an object.')
  const text = JSON.stringify(metadata)
  if (utf8(text).length > MAX_METADATA_BYTES)
    throw invalid(`metadata: must be at most ${MAX_METADATA_BYTES} bytes as JSON.`)
  if (NOT_STORABLE.test(text)) throw invalid('metadata: must not hold U+0000 or halves of characters.')
  return text
}
