import { AppError } from '../core/errors.ts'
import type { VerifyKey } from '../crypto/provider.ts'
import type { ProtectedHeader } from './header.ts'
import { isStored } from './operation-kinds.ts'
import { rejected } from './rejected.ts'

export type KeyUse = 'envelope-v2' | 'audit'
export type KeyState = 'next' | 'active' | 'retired' | 'revoked'

/** A key of the deployment, as its root vouches for it. Times in Unix seconds. */
export interface IssuerKey {
  readonly keyId: string
  readonly use: KeyUse
  readonly state: KeyState
  /** When it was published, so before its first use. */
  readonly notBefore: number
  readonly notAfter: number | null
  readonly key: VerifyKey
}

function find(header: ProtectedHeader, issuers: ReadonlyMap<string, IssuerKey>): IssuerKey {
  const issuer = issuers.get(header.sig)
  if (!issuer)
    throw new AppError('envelope.issuer_unknown', 'The pinned root does not vouch for the signer of this envelope.')
  if (issuer.use !== 'envelope-v2') throw rejected()
  return issuer
}

/**
 * Finds the key that an envelope names.
 *
 * @throws {AppError} `envelope.issuer_unknown` when there is none: fetch the key document, once, and try again;
 * `envelope.rejected` for a key of another use or a revoked one
 */
export function issuerOf(header: ProtectedHeader, issuers: ReadonlyMap<string, IssuerKey>): IssuerKey {
  const issuer = find(header, issuers)
  if (issuer.state === 'revoked') throw rejected()
  return issuer
}

/**
 * Finds the key for a reader that also has the MAC key: what a key stored before it was revoked still opens, and rests on
 * the HMAC, since whoever stole the key can sign.
 *
 * @throws {AppError} as {@link issuerOf}
 */
export function issuerForReader(header: ProtectedHeader, issuers: ReadonlyMap<string, IssuerKey>): IssuerKey {
  return isStored(header.op) ? find(header, issuers) : issuerOf(header, issuers)
}

/** Reports whether the envelope was made while its key was in force. */
export function isInKeyWindow(header: ProtectedHeader, issuer: IssuerKey): boolean {
  return header.iat >= issuer.notBefore && (issuer.notAfter === null || header.iat <= issuer.notAfter)
}
