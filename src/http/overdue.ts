import type { Request } from 'express'
import { AppError } from '../core/errors.ts'
import { askAt } from '../messaging/outcome-errors.ts'
import type { Operation } from './operation.ts'
import { DEADLINE_HEADER, parseDeadline } from './parse-request.ts'

/** How far a request has come: what may be said of it when its time is up. */
export interface Progress {
  /** Its operation was called. */
  hasBegun: boolean
  /** It has a place for the signature of its answer, which is enveloped: from here on something may leave for a broker. */
  isAdmitted: boolean
  /** It was answered in the handler's place: what has not been done must not be any more. */
  isOver: boolean
  messageId: string | undefined
}

export const newProgress = (): Progress => ({ hasBegun: false, isAdmitted: false, isOver: false, messageId: undefined })

/** Operations without a deadline of their own end by the longest that any may have. */
const LONGEST_MS = 30_000
/** Milliseconds that an operation has beyond its deadline to say so itself, with the outcome on record and signed. */
const GRACE_MS = 190

const takesDeadline = (operation: Operation) => operation.headers?.[DEADLINE_HEADER] !== undefined

/** Milliseconds from its start after which a request is answered in place of its handler. */
export function overdueAfterMs(operation: Operation, req: Request, defaultMs: number): number {
  if (!takesDeadline(operation)) return LONGEST_MS
  try {
    return parseDeadline(operation, req, defaultMs) + GRACE_MS
  } catch {
    return defaultMs + GRACE_MS // refused in a moment
  }
}

/** For what has not been done when its time is up, and is not done any more. */
export function notDoneInTime(): AppError {
  return new AppError('database.unavailable', 'Nothing was done: what it needs did not answer in time.', {
    retryAfterS: 1,
  })
}

/**
 * Decides what a request whose time is up is answered. That nothing was done is said only where it is certain, and will stay
 * so: `admit` and the call of the operation refuse what is over.
 */
export function overdueAnswer(operation: Operation, { hasBegun, isAdmitted, messageId }: Progress): AppError {
  const certainlyNot = !hasBegun || operation.method === 'get' || (operation.enveloped === true && !isAdmitted)
  if (certainlyNot) return notDoneInTime()
  const next = operation.idempotent
    ? 'Ask again with the same Idempotency-Key.'
    : 'See what is there before you repeat it.'
  const text = `It was not over in time, and may have been carried out. ${next}`
  const details = messageId !== undefined && operation.recall && { message_id: messageId, ask: askAt(messageId) }
  return new AppError('outcome.unknown', text, { ...(details && { details }) })
}
