import { AppError } from '../../core/errors.ts'
import { type JsonLimits, parseStrictJson } from '../../core/strict-json.ts'
import { isJsonObject, type JsonObject } from '../../policy/problems.ts'

/** A token that is well-formed; nothing of it is verified. */
export interface UnverifiedToken {
  readonly alg: string
  readonly kid: string | undefined
  readonly claims: JsonObject
}

/** `none`: no token at all, so somebody else's password perhaps. `malformed`: a token, and not one that is read here. */
export type ReadToken = UnverifiedToken | 'none' | 'malformed'

/** A JSON object in base64url begins so: `{`, and whatever follows. */
const FIRST = 0x65
const HEADER_LIMITS: JsonLimits = { maxDepth: 4, maxMembers: 32 }
const CLAIMS_LIMITS: JsonLimits = { maxDepth: 8, maxMembers: 256 }
const MAX_HEADER = 4_096
const MAX_KID = 256

/** The bytes of a part in its one spelling (RFC 4648 §3.5); `undefined` for anything else. */
function decode(part: string): Uint8Array | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}

function readObject(part: string, limits: JsonLimits): JsonObject | undefined {
  const bytes = decode(part)
  if (bytes === undefined) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = parseStrictJson(text, limits)
    return isJsonObject(value) ? value : undefined
  } catch (err) {
    if (err instanceof AppError || err instanceof TypeError) return undefined // not strict JSON, or not UTF-8
    throw err
  }
}

/** Tells most texts that are no token from those that may be one, at once. */
export function mayBeToken(text: string): boolean {
  if (text.charCodeAt(0) !== FIRST) return false
  const dot = text.indexOf('.')
  return dot > 0 && dot <= MAX_HEADER
}

/**
 * Reads a JWT in compact form (RFC 7519 §3, RFC 7515 §7.1) without verifying anything. An encrypted one (five parts), one with a
 * critical extension or an unencoded payload (RFC 7797), with a member that occurs twice, nested deeper than 8 or with more than
 * 256 members is `malformed`. `jku`, `x5u`, `jwk` and `x5c` are not looked at: keys come from the configuration alone.
 */
export function readToken(text: string, maxLength: number): ReadToken {
  if (!mayBeToken(text)) return 'none'
  const head = text.slice(0, text.indexOf('.'))
  const header = readObject(head, HEADER_LIMITS)
  if (header === undefined || typeof header['alg'] !== 'string') return 'none'
  if (text.length > maxLength) return 'malformed'
  const [, body = '', signature = '', ...more] = text.split('.', 5)
  if (more.length > 0 || decode(signature) === undefined) return 'malformed'
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) return 'malformed'
  const kid = header['kid']
  if (kid !== undefined && (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID)) return 'malformed'
  const claims = readObject(body, CLAIMS_LIMITS)
  return claims === undefined ? 'malformed' : { alg: header['alg'], kid, claims }
}
