import { type Bytes, equalBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider, KemPrivateKey, MacKey } from '../crypto/provider.ts'
import { decryptParts } from './decrypt.ts'
import { checkClaims, type Expectation } from './expectation.ts'
import type { ProtectedHeader } from './header.ts'
import { type IssuerKey, isInKeyWindow, issuerForReader } from './issuer-key.ts'
import { ENROLMENT_OPERATION } from './operation-kinds.ts'
import { parseEnvelope } from './parse-envelope.ts'
import { rejected } from './rejected.ts'
import { verifyLeaf } from './verify-leaf.ts'

export type { Expectation } from './expectation.ts'
export type { IssuerKey } from './issuer-key.ts'

/** A recipient with its private halves. */
export interface ReaderRecipient {
  readonly tenantId: string
  readonly recipientId: string
  readonly suite: string
  readonly kemKeyId: string
  readonly kem: KemPrivateKey
  readonly macKeyId: string
  readonly mac: MacKey
}

export interface OpenedEnvelope {
  readonly header: ProtectedHeader
  readonly plaintext: Bytes
  /** 48 bytes; with the tenant it names the envelope in a replay cache. */
  readonly leaf: Bytes
  /** The signer's key was revoked since: only the HMAC says who made this. Never for anything but what is stored. */
  readonly isIssuerRevoked: boolean
}

function isFor(reader: ReaderRecipient, header: ProtectedHeader): boolean {
  return (
    header.tid === reader.tenantId &&
    header.aud === reader.recipientId &&
    header.kem === reader.kemKeyId &&
    header.mac === reader.macKeyId &&
    header.suite === reader.suite
  )
}

/**
 * Opens an envelope (parsed JSON) in the fixed order: form, addressee and issuer, both signatures, claims, plaintext. There
 * is no option that skips a step. A caller whose expectation has no `rqh` enters `leaf` into a replay cache. What a key
 * stored before it was revoked opens on the HMAC alone, marked.
 *
 * @throws {AppError} `envelope.rejected`, the same for every reason; `envelope.issuer_unknown` when no key document vouches
 * for the signer; and, only for authentic envelopes, `envelope.mismatch`, `envelope.stale`
 */
export function openEnvelope(
  provider: CryptoProvider,
  envelope: unknown,
  reader: ReaderRecipient,
  issuers: ReadonlyMap<string, IssuerKey>,
  expected: Expectation,
): OpenedEnvelope {
  const parsed = parseEnvelope(envelope)
  if (!parsed || !isFor(reader, parsed.header)) throw rejected()
  const { header } = parsed
  const issuer = issuerForReader(header, issuers)

  const { isSigned, leaf, transcript } = verifyLeaf(provider, parsed, issuer)
  const isMac = equalBytes(reader.mac.mac(transcript), parsed.hmac)
  const isIssuerRevoked = issuer.state === 'revoked' // so this is stored, and its signature proves nothing any more
  const isOrigin = isSigned || isIssuerRevoked
  if ((Number(isOrigin) & Number(isMac)) !== 1) throw rejected() // both always ran; one decision

  if (!isInKeyWindow(header, issuer)) throw rejected()
  if (header.op === ENROLMENT_OPERATION) throw new AppError('envelope.mismatch', 'An enrolment opens as nothing else.')
  checkClaims(header, expected)
  const plaintext = decryptParts(provider, reader.kem, parsed.parts)
  return { header, plaintext, leaf, isIssuerRevoked }
}
