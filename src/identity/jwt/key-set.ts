import { createPublicKey, type KeyObject } from 'node:crypto'
import { parseStrictJson } from '../../core/strict-json.ts'
import { isJsonObject, type JsonObject } from '../../policy/problems.ts'
import { algorithmsOf, type JwtAlgorithm } from './algorithms.ts'
import { thumbprintOf, type VerifyKey } from './keys.ts'

/** Bytes of a key set or of a discovery document. */
export const MAX_DOCUMENT_BYTES = 512 * 1024
const MAX_KEYS = 100
const LIMITS = { maxDepth: 8, maxMembers: 5_000 }
const MAX_KID = 256

/** Members that make a public key (RFC 7518 §6.2.1, §6.3.1, RFC 8037 §2). */
const PUBLIC: Readonly<Record<string, readonly string[]>> = {
  RSA: ['kty', 'n', 'e'],
  EC: ['kty', 'crv', 'x', 'y'],
  OKP: ['kty', 'crv', 'x'],
}
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/** A document that is not what it should be; the message is for the operator's log and holds no more of it than an address. */
export class DocumentFault extends Error {
  override readonly name = 'DocumentFault'
}

/** An address as logs show it: without a query, where somebody may have put a key. */
export function shownUrl(url: string): string {
  const { origin, pathname } = URL.parse(url) ?? { origin: 'no URL', pathname: '' }
  return `${origin}${pathname}`.slice(0, 256)
}

/** Parses what an issuer publishes. @throws {DocumentFault} */
export function readDocument(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown
  try {
    value = parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes), LIMITS)
  } catch (err) {
    throw new DocumentFault(`${what} is not JSON, or has a member twice, too many, or too deep`, { cause: err })
  }
  if (!isJsonObject(value)) throw new DocumentFault(`${what} is no JSON object`)
  return value
}

function publicKeyOf(jwk: JsonObject): KeyObject | undefined {
  const kty = jwk['kty']
  const members = typeof kty === 'string' && Object.hasOwn(PUBLIC, kty) ? (PUBLIC[kty] ?? []) : []
  if (members.length === 0 || !members.every((member) => typeof jwk[member] === 'string')) return undefined
  const key = Object.fromEntries(members.map((member) => [member, jwk[member]])) as JsonWebKey
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch {
    return undefined // another curve, or no point of it
  }
}

/** The key of one element, if it is one to verify tokens with; elements for other ends are normal and left alone. */
async function readKey(jwk: JsonObject, wanted: readonly JwtAlgorithm[]): Promise<VerifyKey | undefined> {
  const { use, alg, kid, key_ops: operations } = jwk
  if (PRIVATE.some((member) => Object.hasOwn(jwk, member))) return undefined // whoever reads the set can sign with it
  if (use !== undefined && use !== 'sig') return undefined
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KID)) return undefined
  const key = publicKeyOf(jwk)
  if (key === undefined) return undefined
  const algorithms = algorithmsOf(key).filter((one) => wanted.includes(one) && (alg === undefined || alg === one))
  return algorithms.length === 0 ? undefined : { id: await thumbprintOf(key), kid, algorithms, key }
}

/**
 * Reads a JSON Web Key Set (RFC 7517 §5) of at most 100 keys. Elements that are no public key for one of the algorithms are left
 * out, as §5 says; shared secrets and private keys are never used.
 *
 * @throws {DocumentFault} for what is no key set
 */
export async function parseKeySet(bytes: Uint8Array, wanted: readonly JwtAlgorithm[]): Promise<readonly VerifyKey[]> {
  const { keys } = readDocument(bytes, 'the key set')
  if (!Array.isArray(keys)) throw new DocumentFault('the key set has no list `keys`')
  if (keys.length > MAX_KEYS) throw new DocumentFault(`the key set has more than ${MAX_KEYS} keys`)
  const read = await Promise.all(keys.filter(isJsonObject).map((jwk) => readKey(jwk, wanted)))
  return read.filter((key) => key !== undefined)
}
