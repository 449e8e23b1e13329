import { AppError, type ErrorCode, type ErrorDetails } from '../core/errors.ts'

/** Failures that only a client can see. Every other code is the server's, see the table under `/docs/errors/`. */
export type LocalErrorCode =
  | 'unprotected' // an answer without an envelope where one is due; it proves nothing
  | 'network' // no answer, or a part of one
  | 'timeout' // `timeoutMs` went by
  | 'aborted' // the caller's signal
  | 'answer.invalid' // an answer that does not speak this API: not JSON, no wrapper, a redirect
  | 'answer.too_large' // more than 16 MiB, or a list over 50 pages of 200 items

/**
 * What is known about the operation behind a failed call: it did not run (`rejected`), it could not run now
 * (`unavailable`), or it may have run (`unknown`).
 */
export type Outcome = 'rejected' | 'unavailable' | 'unknown'

export interface SealwireErrorFields {
  outcome: Outcome
  status?: number | undefined
  details?: ErrorDetails | undefined
  requestId?: string | undefined
  retryAfterS?: number | undefined
  hint?: string | undefined
  cause?: unknown
}

/**
 * The only error that the SDK throws for a call that failed. For sealed calls `code`, `status`, `details`, `requestId` and
 * `outcome` come from a verified envelope, or from this side; never from a bare answer.
 */
export class SealwireError extends Error {
  override readonly name: string = 'SealwireError'
  /** A code of the server's table, one of the SDK's own, or one that a newer server knows. */
  readonly code: ErrorCode | LocalErrorCode | (string & Record<never, never>)
  /** The HTTP status that the answer stands for; absent where there was no answer to believe. */
  readonly status: number | undefined
  readonly details: ErrorDetails | undefined
  readonly requestId: string | undefined
  readonly outcome: Outcome
  /** Seconds after which trying again makes sense. A hint only: the header it comes from is not signed. */
  readonly retryAfterS: number | undefined
  /** What may be the reason, by headers that nobody signed: for people to read, and for nothing else. */
  readonly hint: string | undefined

  constructor(code: SealwireError['code'], message: string, fields: SealwireErrorFields) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = code
    this.status = fields.status
    this.details = fields.details
    this.requestId = fields.requestId
    this.outcome = fields.outcome
    this.retryAfterS = fields.retryAfterS
    this.hint = fields.hint
  }

  /** Copies the error with what the whole call, or what led to it, says about the outcome. */
  withOutcome(outcome: Outcome): SealwireError {
    if (this.outcome === outcome) return this
    const { status, details, requestId, retryAfterS, hint } = this
    const fields = { status, details, requestId, retryAfterS, hint, outcome, cause: this }
    return new SealwireError(this.code, this.message, fields)
  }

  /** Copies the error with a hint. The message then ends with it, but for `envelope.rejected`, which has one message only. */
  withHint(hint: string | undefined): SealwireError {
    if (hint === undefined || this.hint !== undefined) return this
    const { status, details, requestId, retryAfterS, outcome } = this
    const fields = { status, details, requestId, retryAfterS, outcome, hint, cause: this }
    const message = this.code === 'envelope.rejected' ? this.message : `${this.message} ${hint}`
    return new SealwireError(this.code, message, fields)
  }
}

/** What a bare answer said of itself. For people to read; nothing may be decided by it. */
export interface Claim {
  httpStatus: number
  code: string | undefined
  message: string | undefined
}

/** An answer without an envelope where one is due: a proxy made it, or the server before it knew the caller, or anyone. */
export class UnprotectedError extends SealwireError {
  override readonly name = 'UnprotectedError'
  readonly claim: Claim

  constructor(claim: Claim, retryAfterS: number | undefined) {
    const said = [`HTTP ${claim.httpStatus}`, claim.code, claim.message && JSON.stringify(claim.message)]
    const claimed = said.filter((part) => part !== undefined).join(' ')
    super('unprotected', `The answer has no envelope and proves nothing (it says: ${claimed}).`, {
      outcome: 'unknown',
      retryAfterS,
    })
    this.claim = claim
  }
}

/** Turns what the formats throw into the SDK's error; passes its own errors on. */
export function toSealwireError(err: unknown, outcome: Outcome): SealwireError {
  if (err instanceof SealwireError) return err
  if (err instanceof AppError)
    return new SealwireError(err.code, err.message, { outcome, details: err.details, cause: err })
  return new SealwireError('internal', 'The SDK failed unexpectedly.', { outcome, cause: err })
}
