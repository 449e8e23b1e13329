import { type Bytes, decodeUtf8, equalBytes, utf8 } from '../core/bytes.ts'
import { kindOf } from './operation-kinds.ts'
import { findSuite } from './suites.ts'

/** Over this a header is refused unread; the longest valid one has 785 bytes. */
export const MAX_HEADER_BYTES = 800

/** The signed header of an envelope, in the order in which its members are written. */
export interface ProtectedHeader {
  readonly v: 2
  readonly suite: string
  /** Tenant id. */
  readonly tid: string
  /** Ids of the recipient's KEM key, the issuer's signing key, the recipient's MAC key. */
  readonly kem: string
  readonly sig: string
  readonly mac: string
  /** The recipient that may open it. */
  readonly aud: string
  readonly op: string
  /** What it is about: integration, subscription, vault entry. */
  readonly sub: string | null
  /** Request id, as in the audit row. */
  readonly rid: string
  /** Hash of the request, when it carried a nonce. */
  readonly rqh: string | null
  /** HTTP status of an answer. */
  readonly st: number | null
  readonly seq: number | null
  /** Unix seconds. */
  readonly iat: number
  readonly exp: number | null
}

const ID = /^[A-Za-z0-9._-]{1,64}$/
const REQUEST_HASH = /^[A-Za-z0-9_-]{64}$/

const isText = (value: unknown, form: RegExp): value is string => typeof value === 'string' && form.test(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1
const isStatus = (value: unknown): boolean => isCount(value) && value >= 100 && value <= 599

function isPresent(
  value: unknown,
  presence: 'value' | 'null' | 'either',
  isValue: (value: unknown) => boolean,
): boolean {
  return value === null ? presence !== 'value' : presence !== 'null' && isValue(value)
}

function isLife(iat: unknown, exp: unknown, maxLifeS: number | null): boolean {
  if (!isCount(iat)) return false
  if (maxLifeS === null || exp === null) return maxLifeS === null && exp === null
  return isCount(exp) && exp > iat && exp - iat <= maxLifeS
}

/** Judges types, characters, ranges and which members may be `null`; unknown members are seen by writing it again. */
function isHeader(value: unknown): value is ProtectedHeader {
  if (typeof value !== 'object' || value === null) return false
  const h = value as Record<keyof ProtectedHeader, unknown>
  const isId = (member: unknown): boolean => isText(member, ID)
  if (h.v !== 2 || typeof h.suite !== 'string' || !findSuite(h.suite)) return false
  if (![h.tid, h.kem, h.sig, h.mac, h.aud, h.op, h.rid].every(isId)) return false
  const kind = kindOf(h.op as string)
  return (
    isPresent(h.sub, kind.sub, isId) &&
    isPresent(h.rqh, kind.rqh, (hash) => isText(hash, REQUEST_HASH)) &&
    isPresent(h.st, kind.st, isStatus) &&
    isPresent(h.seq, kind.seq, isCount) &&
    isLife(h.iat, h.exp, kind.maxLifeS)
  )
}

/** Of a valid header: none of its texts has a character that JSON would escape. */
function write(h: ProtectedHeader): Bytes {
  const { v, suite, tid, kem, sig, mac, aud, op, sub, rid, rqh, st, seq, iat, exp } = h
  const text = (value: string | null) => (value === null ? 'null' : `"${value}"`)
  return utf8(
    `{"v":${v},"suite":"${suite}","tid":"${tid}","kem":"${kem}","sig":"${sig}","mac":"${mac}","aud":"${aud}","op":"${op}",` +
      `"sub":${text(sub)},"rid":"${rid}","rqh":${text(rqh)},"st":${st},"seq":${seq},"iat":${iat},"exp":${exp}}`,
  )
}

/**
 * Writes a header in its one spelling: members in order, no white space, at most 785 bytes.
 *
 * @throws {RangeError} a member is not what its kind of envelope allows
 */
export function encodeHeader(header: ProtectedHeader): Bytes {
  if (!isHeader(header)) throw new RangeError('Not a valid envelope header')
  return write(header)
}

/**
 * Parses a header and refuses (`undefined`) every spelling but one: it is written again and the bytes are compared, which
 * catches duplicates, unknown members, escapes, white space, other orders, exponents, −0, a byte order mark.
 */
export function parseHeader(bytes: Uint8Array): ProtectedHeader | undefined {
  if (bytes.length > MAX_HEADER_BYTES) return undefined
  let value: unknown
  try {
    value = JSON.parse(decodeUtf8(bytes))
  } catch {
    return undefined // neither UTF-8 nor JSON: refused like every other spelling
  }
  return isHeader(value) && equalBytes(write(value), bytes) ? value : undefined
}
