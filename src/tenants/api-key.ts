import { crc32 } from 'node:zlib'
import { type Bytes, concatBytes, labelled, lengthPrefixed, u32, utf8 } from '../core/bytes.ts'
import { isId } from '../core/ids.ts'
import { Secret } from '../core/secret.ts'
import type { MacKey } from '../crypto/provider.ts'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** `qs_live_` or `qs_test_`, 26 characters of id, `_`, 43 of secret, 6 of checksum. */
const LENGTH = 84
const SHAPE = /^qs_(live|test)_([0-9a-hjkmnp-tv-z]{26})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/

/** Bytes of randomness in a key. */
export const API_KEY_SECRET_BYTES = 32
/** The same in base62 digits, of one byte each. */
const SECRET_LENGTH = 43

export type ApiKeyKind = 'live' | 'test'

export interface ApiKeyParts {
  /** `test` belongs to a sandbox tenant. */
  readonly kind: ApiKeyKind
  readonly keyId: string
  readonly secret: Secret<string>
}

/** Writes bytes as a big-endian number of `length` base62 digits (0-9, A-Z, a-z), with leading zeros. */
function base62(bytes: Uint8Array, length: number): string {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  let out = ''
  for (let i = 0; i < length; i++) {
    out = BASE62.charAt(Number(value % 62n)) + out
    value /= 62n
  }
  return out
}

/** CRC-32 (ISO-HDLC, as in zip) of all the text before it. Tells typing errors and scanners' finds apart; no protection. */
function checksum(text: string): string {
  let out = ''
  for (let left = crc32(text), i = 0; i < 6; i++, left = Math.floor(left / 62)) out = BASE62.charAt(left % 62) + out
  return out
}

/** Writes an API key; `random` is 32 random bytes. It is shown once and never stored. */
export function formatApiKey(kind: ApiKeyKind, keyId: string, random: Uint8Array): Secret<string> {
  if (!isId('key', keyId) || random.length !== API_KEY_SECRET_BYTES)
    throw new RangeError('not an API key id and 32 bytes')
  const head = `qs_${kind}_${keyId.slice('key_'.length)}_${base62(random, SECRET_LENGTH)}`
  return new Secret(head + checksum(head))
}

/** Reads an API key, or returns `undefined` unless shape and checksum are right. Costs nothing for text of another length. */
export function parseApiKey(text: string): ApiKeyParts | undefined {
  if (text.length !== LENGTH) return undefined
  const [, kind, id, secret, check] = SHAPE.exec(text) ?? []
  if (id === undefined || secret === undefined || check !== checksum(text.slice(0, -6))) return undefined
  const keyId = `key_${id}`
  if (!isId('key', keyId)) return undefined
  return { kind: kind === 'live' ? 'live' : 'test', keyId, secret: new Secret(secret) }
}

/** Digests a presented secret, as {@link parseApiKey} read it. */
export type ApiKeyDigester = (pepper: MacKey, secret: Secret<string>) => Bytes

/** Prepares all of a key's digest but its secret: what is left for each request is to put the two together, and one HMAC. */
export function createApiKeyDigester(tenantId: string, keyId: string): ApiKeyDigester {
  const ids = [tenantId, keyId].map(lengthPrefixed)
  const head = labelled('sealwire/api-key/v1', ...ids, u32(SECRET_LENGTH))
  return (pepper, secret) => pepper.mac(concatBytes(head, utf8(secret.reveal())))
}

/** What is stored of a key: HMAC-SHA-512 (64 bytes) under the pepper over tenant, key id and the 43 characters of secret. */
export function apiKeyDigest(pepper: MacKey, tenantId: string, { keyId, secret }: ApiKeyParts): Bytes {
  return createApiKeyDigester(tenantId, keyId)(pepper, secret)
}
