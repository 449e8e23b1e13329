import { fromBase64Url, toBase64Url } from '../core/base64.ts'
import { decodeUtf8, equalBytes, labelled, lengthPrefixed, utf8 } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { MacKey } from '../crypto/provider.ts'

const LIFE_S = 86_400

/** What a cursor is good for: the same caller, operation and query, for a day. */
export interface CursorScope {
  tenantId: string
  keyId: string
  operation: string
  /** The query without `cursor`, as `name=value` pairs sorted by name. */
  query: string
}

function tag(mac: MacKey, scope: CursorScope, payload: Uint8Array): Uint8Array {
  const { tenantId, keyId, operation, query } = scope
  return mac.mac(labelled('sealwire/cursor/v1', ...[tenantId, keyId, operation, query, payload].map(lengthPrefixed)))
}

/** Makes the opaque place behind `after`: `b64u(payload) "." b64u(HMAC-SHA-512)`. */
export function writeCursor(mac: MacKey, scope: CursorScope, after: string, nowS: number): string {
  const payload = utf8(JSON.stringify({ after, exp: nowS + LIFE_S }))
  return `${toBase64Url(payload)}.${toBase64Url(tag(mac, scope, payload))}`
}

/**
 * Reads a cursor of ours.
 *
 * @throws {AppError} `request.invalid` with one text for every reason: forged, another caller's, another query's, too old
 */
export function readCursor(mac: MacKey, scope: CursorScope, cursor: string, nowS: number): string {
  const refused = new AppError(
    'request.invalid',
    'query.cursor: not a cursor of this query, or older than a day; start from the first page.',
  )
  const [encoded = '', given = ''] = cursor.split('.')
  const payload = fromBase64Url(encoded)
  const macBytes = fromBase64Url(given)
  if (!payload || !macBytes || !equalBytes(tag(mac, scope, payload), macBytes)) throw refused
  const { after, exp } = JSON.parse(decodeUtf8(payload)) as { after: string; exp: number }
  if (nowS > exp) throw refused
  return after
}
