import { parseStrictJson } from '../core/strict-json.ts'

/**
 * Members by name, as text or as what JSON said; `bytesOf` gives the bytes of a member, which form bodies carry exactly and JSON
 * as text.
 */
export interface Members {
  readonly values: Readonly<Record<string, unknown>>
  bytesOf(name: string): Uint8Array | undefined
}

/** Why a body is none; `what` names the rule and never a value. */
export class BadBody extends Error {
  override readonly name = 'BadBody'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()
/** Brokers send flat and few members; the most are those of a SUBSCRIBE with 200 filters, five each, and user properties. */
const jsonLimits = { maxDepth: 8, maxMembers: 2_000 }
const MAX_FORM_MEMBERS = 100

/** @throws {BadBody} `what` is not UTF-8 */
export function decodeUtf8(bytes: Uint8Array, what = 'the body'): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new BadBody(`${what} is not UTF-8`)
  }
}

const EMPTY: Members = { values: {}, bytesOf: () => undefined }

/**
 * Reads a JSON object; `null` and nothing at all are an object without members, as go-auth's remote mode sends them.
 *
 * @throws {BadBody} for anything else, duplicate members and text that is no Unicode included
 */
export function readJsonMembers(body: Uint8Array): Members {
  const text = decodeUtf8(body)
  let json: unknown
  try {
    json = text.trim() === '' ? null : parseStrictJson(text, jsonLimits)
  } catch (err) {
    throw new BadBody(err instanceof Error ? err.message : 'not JSON')
  }
  if (json === null) return EMPTY
  if (typeof json !== 'object' || Array.isArray(json)) throw new BadBody('the body is no JSON object')
  const values = json as Record<string, unknown>
  return {
    values,
    bytesOf(name) {
      const text = textOf({ values }, name)
      return text === undefined ? undefined : encoder.encode(text)
    },
  }
}

const PERCENT = 0x25
const PLUS = 0x2b

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** Undoes `application/x-www-form-urlencoded` for one name or value. @throws {BadBody} a `%` without two digits */
function decodeForm(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length)
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number
    if (byte === PERCENT) {
      const value = (hexDigit(bytes[i + 1] ?? 0) << 4) | hexDigit(bytes[i + 2] ?? 0)
      if (value < 0) throw new BadBody('a % is not followed by two hexadecimal digits')
      out[length++] = value
      i += 2
    } else {
      out[length++] = byte === PLUS ? 0x20 : byte
    }
  }
  return out.subarray(0, length)
}

/**
 * Reads a form. Names are UTF-8 and occur once; values are kept as bytes, because a password need not be text.
 *
 * @throws {BadBody} also from reading a value as text that is none
 * @see WHATWG URL §5.1 (application/x-www-form-urlencoded)
 */
export function readFormMembers(body: Uint8Array): Members {
  const found = new Map<string, Uint8Array>()
  for (let start = 0; start < body.length; ) {
    const next = body.indexOf(0x26, start)
    const end = next === -1 ? body.length : next
    const equals = body.subarray(start, end).indexOf(0x3d)
    const pair = body.subarray(start, end)
    if (pair.length > 0) {
      const name = decodeUtf8(decodeForm(equals === -1 ? pair : pair.subarray(0, equals)), 'a name')
      if (found.has(name)) throw new BadBody(`member ${JSON.stringify(name.slice(0, 64))} occurs twice`)
      if (found.size >= MAX_FORM_MEMBERS) throw new BadBody(`more than ${MAX_FORM_MEMBERS} members`)
      found.set(name, decodeForm(equals === -1 ? new Uint8Array() : pair.subarray(equals + 1)))
    }
    start = end + 1
  }
  const values: Record<string, unknown> = Object.create(null)
  for (const [name, bytes] of found) {
    Object.defineProperty(values, name, { enumerable: true, get: () => decodeUtf8(bytes, name) })
  }
  return { values, bytesOf: (name) => found.get(name) }
}

const FORM = /^\s*application\/x-www-form-urlencoded\s*(;|$)/i

/** Reads a body by its content type: a form where it says so, else JSON. @throws {BadBody} */
export function readMembers(contentType: string | string[] | undefined, body: Uint8Array): Members {
  return typeof contentType === 'string' && FORM.test(contentType) ? readFormMembers(body) : readJsonMembers(body)
}

/**
 * Gives a member that must be text where it is there; `null` counts as absent.
 *
 * @throws {BadBody} another type, or halves of characters that no UTF-8 has
 */
export function textOf({ values }: Pick<Members, 'values'>, name: string): string | undefined {
  const value = Object.hasOwn(values, name) ? values[name] : undefined
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw new BadBody(`${name} must be text`)
  if (!value.isWellFormed()) throw new BadBody(`${name} is not Unicode`)
  return value
}

/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1); the word in any case. */
export function bearerOf(authorization: string | string[] | undefined): string | undefined {
  const token = typeof authorization === 'string' ? /^bearer +(\S+) *$/i.exec(authorization)?.[1] : undefined
  return token
}

/** Three parts of base64url, the first of them an object: what any JWT looks like, signed or not. */
export function looksLikeToken(text: string): boolean {
  return text.length >= 20 && text.startsWith('ey') && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)
}
