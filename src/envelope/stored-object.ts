import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Bytes, decodeUtf8, equalBytes, utf8 } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ProtectedHeader } from './header.ts'
import { type IssuerKey, openEnvelope, type ReaderRecipient } from './open.ts'
import { rejected } from './rejected.ts'
import type { Claims } from './seal.ts'

/** The `op` of what a caller keeps himself. */
export const STORED_OBJECT = 'stored.object'

/** What the caller says an object is about; the same is needed to open it. */
export type EncryptionContext = Readonly<Record<string, string>>

/** Members in the order of their names, so that two spellings of one context are the same bytes. */
function writeContext(context: EncryptionContext): string {
  const members = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify(Object.fromEntries(members))
}

/** The claims of an object: it answers no request and does not expire. */
export function storedObjectClaims(requestId: string, iat: number): Claims {
  return { op: STORED_OBJECT, sub: null, rid: requestId, rqh: null, st: null, seq: null, iat, exp: null }
}

/** Writes the plaintext: `{"encryption_context", "data": "b64"}`. */
export function writeStoredObject(context: EncryptionContext, data: Uint8Array): Bytes {
  return utf8(`{"encryption_context":${writeContext(context)},"data":"${toBase64(data)}"}`)
}

/**
 * Reads the data of an object whose envelope was opened, for one who knows its context.
 *
 * @throws {AppError} `envelope.rejected`, the same for another context and for what is no object
 */
export function readStoredObject(plaintext: Uint8Array, expected: EncryptionContext): Bytes {
  let object: { encryption_context?: unknown; data?: unknown }
  try {
    object = JSON.parse(decodeUtf8(plaintext)) as typeof object
  } catch {
    throw rejected()
  }
  const data = typeof object?.data === 'string' ? fromBase64(object.data) : undefined
  if (!data || !equalBytes(writeStoredObject(expected, data), plaintext)) throw rejected()
  return data
}

export interface OpenedObject {
  readonly header: ProtectedHeader
  readonly data: Bytes
  /** `false`: its issuer key was revoked since, so that the HMAC alone vouches for it. */
  readonly isIssuerTrusted: boolean
}

/**
 * Opens a stored object for one who knows its context: as every envelope is opened, but that a key which was revoked since
 * does not close what it stored.
 *
 * @throws {AppError} `envelope.rejected`, another context included; `envelope.issuer_unknown`; only for authentic envelopes
 * `envelope.mismatch`, `envelope.stale` (made over a minute from now)
 */
export function openStoredObject(
  provider: CryptoProvider,
  envelope: unknown,
  reader: ReaderRecipient,
  issuers: ReadonlyMap<string, IssuerKey>,
  { context, nowS }: { context: EncryptionContext; nowS: number },
): OpenedObject {
  const expectation = { op: STORED_OBJECT, sub: null, rqh: null, nowS }
  const { header, plaintext, isIssuerRevoked } = openEnvelope(provider, envelope, reader, issuers, expectation)
  return { header, data: readStoredObject(plaintext, context), isIssuerTrusted: !isIssuerRevoked }
}
