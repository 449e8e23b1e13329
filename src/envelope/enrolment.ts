import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Bytes, decodeUtf8, equalBytes, labelled, lengthPrefixed, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { defaultJsonLimits, parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider, KemPrivateKey, KemPublicKey, MacKey } from '../crypto/provider.ts'
import { sizes } from '../crypto/sizes.ts'
import { decryptParts } from './decrypt.ts'
import { checkClaims } from './expectation.ts'
import type { ProtectedHeader } from './header.ts'
import { type IssuerKey, isInKeyWindow, issuerOf } from './issuer-key.ts'
import { ENROLMENT_LABEL } from './labels.ts'
import { ENROLMENT_OPERATION } from './operation-kinds.ts'
import { parseEnvelope } from './parse-envelope.ts'
import { rejected } from './rejected.ts'
import type { Suite } from './suites.ts'
import { verifyLeaf } from './verify-leaf.ts'

/** What the answer to an enrolment carries, as its `data`. */
export interface EnrolmentData {
  readonly recipient_id: string
  readonly kem_key_id: string
  readonly mac_key_id: string
  /** b64, 64 bytes. */
  readonly mac_key: string
}

export interface OpenedEnrolment {
  readonly tenantId: string
  readonly recipientId: string
  readonly kemKeyId: string
  readonly macKeyId: string
  /** 64 bytes. */
  readonly macKey: Bytes
  readonly header: ProtectedHeader
}

/** Writes the `data` of the answer to an enrolment, which `openEnrolment` reads. */
export function enrolmentData(
  recipient: { readonly recipientId: string; readonly kemKeyId: string; readonly macKeyId: string },
  macKey: Uint8Array,
): EnrolmentData {
  return {
    recipient_id: recipient.recipientId,
    kem_key_id: recipient.kemKeyId,
    mac_key_id: recipient.macKeyId,
    mac_key: toBase64(macKey),
  }
}

/** Proves to the server that the enrolment was opened: HMAC-SHA-512 (64 bytes) over recipient id and encapsulation key. */
export function enrolmentProof(mac: MacKey, recipientId: string, ek: Uint8Array): Bytes {
  return mac.mac(labelled(ENROLMENT_LABEL, lengthPrefixed(recipientId), lengthPrefixed(ek)))
}

/**
 * Imports an encapsulation key that somebody wants enrolled, and encapsulates to it once.
 *
 * @throws {AppError} `request.invalid`: what the suite refuses ({@link Suite.publicKey})
 */
export function assertAcceptableKemKey(provider: CryptoProvider, suite: Suite, ek: Uint8Array): KemPublicKey {
  const message = `kem_public_key: not an acceptable ${suite.algorithm} key.`
  const key = suite.publicKey(provider, ek)
  if (!key) throw new AppError('request.invalid', message)
  try {
    wipe(key.encapsulate().sharedSecret)
  } catch (err) {
    throw new AppError('request.invalid', message, { cause: err })
  }
  return key
}

/** Reads the plaintext and insists that it speaks of the recipient, KEM key and MAC key in the header. */
function parseMacKey(plaintext: Bytes, header: ProtectedHeader): Bytes | undefined {
  let answer: unknown
  try {
    answer = parseStrictJson(decodeUtf8(plaintext), defaultJsonLimits)
  } catch {
    return undefined // not the JSON of an answer
  }
  const { success, data } = (answer ?? {}) as { success?: unknown; data?: Partial<EnrolmentData> | null }
  if (success !== true || typeof data !== 'object' || data === null) return undefined
  const isOurs = data.recipient_id === header.aud && data.kem_key_id === header.kem && data.mac_key_id === header.mac
  const macKey = isOurs && typeof data.mac_key === 'string' ? fromBase64(data.mac_key) : undefined
  return macKey?.length === sizes.macKey ? macKey : undefined
}

/**
 * Opens the answer to an enrolment, the one envelope whose HMAC key is inside it: ML-DSA first, then the claims with the
 * hash of the request just sent, then plaintext, ids, and last the HMAC. Keep nothing when it throws.
 *
 * @throws {AppError} as `openEnvelope`
 */
export function openEnrolment(
  provider: CryptoProvider,
  envelope: unknown,
  kem: KemPrivateKey,
  suite: string,
  issuers: ReadonlyMap<string, IssuerKey>,
  expected: { readonly rqh: string; readonly nowS: number },
): OpenedEnrolment {
  const parsed = parseEnvelope(envelope)
  if (!parsed || parsed.header.suite !== suite) throw rejected()
  const { header } = parsed
  const issuer = issuerOf(header, issuers)
  const { isSigned, transcript } = verifyLeaf(provider, parsed, issuer)
  if (!isSigned || !isInKeyWindow(header, issuer)) throw rejected()
  checkClaims(header, { op: ENROLMENT_OPERATION, ...expected })

  const macKey = parseMacKey(decryptParts(provider, kem, parsed.parts), header)
  if (!macKey || !equalBytes(provider.macKey(macKey).mac(transcript), parsed.hmac)) throw rejected()
  const { tid: tenantId, aud: recipientId, kem: kemKeyId, mac: macKeyId } = header
  return { tenantId, recipientId, kemKeyId, macKeyId, macKey, header }
}
