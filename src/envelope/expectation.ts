import { AppError } from '../core/errors.ts'
import type { ProtectedHeader } from './header.ts'
import { isAnswer } from './operation-kinds.ts'

/** Clocks may differ by this much. */
export const MAX_SKEW_S = 60

/** What a reader called for; it opens nothing else. */
export interface Expectation {
  /** One operation or kind, or `'answer'` for the answer to any operation. */
  readonly op: string
  /** `undefined`: not checked. */
  readonly sub?: string | null
  /** Hash of the request just sent, `null` when it carried no nonce; `undefined`: not checked, so use the replay cache. */
  readonly rqh: string | null | undefined
  readonly nowS: number
}

function mismatch(): AppError {
  return new AppError('envelope.mismatch', 'The envelope is authentic, but answers something else.')
}

/**
 * Judges the claims of an envelope whose signatures verified.
 *
 * @throws {AppError} `envelope.mismatch` (operation, subject, request), `envelope.stale` (early or late)
 */
export function checkClaims(header: ProtectedHeader, expected: Expectation): void {
  const isExpectedOp = expected.op === 'answer' ? isAnswer(header.op) : header.op === expected.op
  if (!isExpectedOp) throw mismatch()
  if (expected.sub !== undefined && header.sub !== expected.sub) throw mismatch()
  if (expected.rqh !== undefined && header.rqh !== expected.rqh) throw mismatch()
  const isEarly = header.iat - expected.nowS > MAX_SKEW_S
  const isLate = header.exp !== null && expected.nowS - header.exp > MAX_SKEW_S
  if (isEarly || isLate) throw new AppError('envelope.stale', 'The envelope is authentic, but not of this time.')
}
