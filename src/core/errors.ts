/** Every failure that may cross a folder boundary. Each surface renders them from a table the compiler keeps complete. */
export type ErrorCode =
  | 'request.invalid'
  | 'request.too_large'
  | 'request.unsupported_media'
  | 'request.timeout'
  | 'route.not_found'
  | 'route.method_not_allowed'
  | 'auth.unauthenticated'
  | 'auth.forbidden'
  | 'operation.not_allowed'
  | 'policy.denied'
  | 'policy.invalid'
  | 'guard.refused'
  | 'destination.not_allowed'
  | 'object.not_found'
  | 'object.in_use'
  | 'idempotency.running'
  | 'idempotency.mismatch'
  | 'precondition.required'
  | 'precondition.failed'
  | 'credential.expired'
  | 'custody.required'
  | 'custody.rejected'
  | 'integration.invalid'
  | 'integration.locked'
  | 'quota.exceeded'
  | 'rate.limited'
  | 'server.busy'
  | 'broker.rejected'
  | 'broker.unreachable'
  | 'broker.busy'
  | 'signer.busy'
  | 'vault.unavailable'
  | 'kms.unavailable'
  | 'database.unavailable'
  | 'audit.unavailable'
  | 'outcome.unknown'
  | 'envelope.rejected'
  | 'envelope.stale'
  | 'envelope.replay'
  | 'envelope.mismatch'
  | 'envelope.issuer_unknown'
  | 'envelope.not_ours'
  | 'recipient.required'
  | 'internal'

/** Members that are safe to show to the caller: which member was wrong, which reason code a broker gave. */
export type ErrorDetails = Readonly<Record<string, unknown>>

export interface AppErrorOptions {
  /** Anything sensitive; logged with the request id, never sent. */
  cause?: unknown
  details?: ErrorDetails
  /** Seconds after which trying again makes sense; rendered as `Retry-After`. */
  retryAfterS?: number
}

/** The only error that crosses a folder boundary. `message` and `details` are public; put anything sensitive in `cause`. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly details: ErrorDetails | undefined
  readonly retryAfterS: number | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details
    this.retryAfterS = options.retryAfterS
  }
}
