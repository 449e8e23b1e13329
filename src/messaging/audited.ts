import type { Audit, AuditEvent } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { EXPIRED, withDeadline } from './deadline.ts'

/** Time that an outcome row may take beyond the caller's deadline. */
export const OUTCOME_GRACE_MS = 200

/** Text of a caller in an audit row: at most 256 characters, cut between characters. */
export function clip(text: string): string {
  return text.length <= 256 ? text : `${text.slice(0, 255).toWellFormed()}…`
}

function unavailable(cause?: unknown): AppError {
  return new AppError('audit.unavailable', 'The audit log could not be written.', { cause, retryAfterS: 1 })
}

/**
 * Commits audit rows, at the latest by `deadlineMs` (monotonic clock).
 *
 * @throws {AppError} `audit.unavailable`
 */
export async function recordBy(
  { audit, clock }: { audit: Audit; clock: Clock },
  deadlineMs: number,
  ...events: readonly AuditEvent[]
): Promise<void> {
  const written = await withDeadline(
    audit.record(...events).catch((err) => {
      throw err instanceof AppError ? err : unavailable(err)
    }),
    deadlineMs,
    clock,
  )
  if (written === EXPIRED) throw unavailable(new Error('not committed by the deadline'))
}

/** Rows of one commit: what one call has to say must not hold up, or push out, those of everybody else. */
const MOST_AT_ONCE = 128

/**
 * Commits any number of rows in their order, some at a time; the last of them with the last ones. Throws as
 * {@link recordBy}, and those before are then on record.
 */
export async function recordManyBy(
  deps: { audit: Audit; clock: Clock },
  deadlineMs: number,
  events: readonly AuditEvent[],
): Promise<void> {
  for (let from = 0; from < events.length; from += MOST_AT_ONCE) {
    await recordBy(deps, deadlineMs, ...events.slice(from, from + MOST_AT_ONCE))
  }
}

/** The members of an outcome row that describe a failure. */
export function failureDetail(err: unknown): NonNullable<AuditEvent['detail']> {
  if (!(err instanceof AppError)) return { code: 'internal' }
  const { reason_code: reasonCode, reason } = err.details ?? {}
  return {
    code: err.code,
    ...(typeof reasonCode === 'number' && { reason_code: reasonCode }),
    ...(typeof reason === 'string' && { reason: clip(reason) }),
  }
}
