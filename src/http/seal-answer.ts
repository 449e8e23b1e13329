import { fromBase64Url } from '../core/base64.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { apiTarget, requestHash } from '../envelope/request-hash.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { Reservation } from '../signing/signer.ts'

/** Seconds that an answer may be opened after it was made. */
export const ANSWER_LIFE_S = 300

export interface AnswerToSeal {
  op: string
  subject: string | null
  requestId: string
  requestHash: string | null
  status: number
  plaintext: { success: boolean; data: unknown; error: unknown }
}

/**
 * Reads `Envelope-Nonce` and binds the answer to the request as it was sent (`rqh`); `null` without the header.
 *
 * @throws {AppError} `request.invalid` for a nonce that is not 32 bytes of base64url
 */
export function hashRequest(
  provider: CryptoProvider,
  nonceHeader: string | undefined,
  method: string,
  url: string,
  body: Uint8Array,
): string | null {
  if (nonceHeader === undefined) return null
  const nonce = fromBase64Url(nonceHeader)
  if (nonce?.length !== 32)
    throw new AppError('request.invalid', 'Envelope-Nonce: must be 32 bytes in base64url without padding.')
  return requestHash(provider, { nonce, method, target: apiTarget(url), body })
}

/**
 * Has an answer sealed to one recipient, and signed, in the place that was reserved for it; the envelope as JSON. The place is
 * taken once the answer is written: one that cannot be would keep it.
 */
export function sealAnswer(
  clock: Clock,
  recipient: SealingRecipient,
  takePlace: () => Reservation,
  answer: AnswerToSeal,
): Promise<string> {
  const iat = Math.floor(clock.now() / 1000)
  const claims = {
    op: answer.op,
    sub: answer.subject,
    rid: answer.requestId,
    rqh: answer.requestHash,
    st: answer.status,
    seq: null,
    iat,
    exp: iat + ANSWER_LIFE_S,
  }
  const plaintext = JSON.stringify(answer.plaintext)
  return takePlace().seal({ recipient, claims, plaintext })
}
