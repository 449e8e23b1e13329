import type { Bytes } from '../core/bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ProtectedHeader } from './header.ts'
import { type IssuerKey, openEnvelope, type ReaderRecipient } from './open.ts'
import { type EncryptionContext, readStoredObject, STORED_OBJECT } from './stored-object.ts'

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
