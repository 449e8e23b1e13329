import type { ErrorDetails } from '../core/errors.ts'
import type { Exchanged } from './exchange.ts'
import { type Outcome, SealwireError } from './sealwire-error.ts'

/** The members that every answer has, sealed or not. */
export type Answer =
  | { success: true; data: unknown }
  | { success: false; code: string; message: string; details: ErrorDetails | undefined }

/** Reports whether a parsed JSON value is an object (not an array, not `null`). */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reads `{success, data, error}`; `undefined` for anything else. */
export function parseAnswer(json: unknown): Answer | undefined {
  if (!isRecord(json)) return undefined
  const { success, data, error } = json
  if (success === true) return { success, data }
  if (success !== false || !isRecord(error)) return undefined
  const { code, message, details } = error
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  return { success, code, message, details: isRecord(details) ? details : undefined }
}

/** What a refusal by our own server says about the operation: refused, not possible now, or anything else. */
export function outcomeOf(status: number, code: string): Outcome {
  if (code === 'idempotency.running') return 'unknown' // another attempt of the same operation is under way
  if (status === 503) return 'unavailable'
  return (status >= 400 && status < 500) || status === 502 ? 'rejected' : 'unknown'
}

function metaOf(json: unknown): Record<string, unknown> {
  const meta = isRecord(json) ? json['meta'] : undefined
  return isRecord(meta) ? meta : {}
}

function requestIdOf(json: unknown): string | undefined {
  const id = metaOf(json)['request_id']
  return typeof id === 'string' ? id : undefined
}

export interface Page {
  items: readonly unknown[]
  nextCursor: string | undefined
  /** Ids that belong on this page, of what is stored and not understood by the server. */
  notUnderstood: readonly string[]
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string')

/**
 * Takes one page out of the answer to a list.
 *
 * @throws {SealwireError} as `dataOf`
 */
export function pageOf(answer: Exchanged): Page {
  const items = dataOf(answer)
  const { next_cursor: nextCursor, not_understood: notUnderstood = [] } = metaOf(answer.json)
  const isPage = Array.isArray(items) && (nextCursor === undefined || typeof nextCursor === 'string')
  if (isPage && isTexts(notUnderstood)) return { items, nextCursor, notUnderstood }
  const message = `HTTP ${answer.httpStatus} is not a page of a list.`
  throw new SealwireError('answer.invalid', message, { status: answer.httpStatus, outcome: 'unknown' })
}

/**
 * Takes `data` out of an answer that needs no envelope, as those of the vault.
 *
 * @throws {SealwireError} with the server's code; `answer.invalid` for what is no answer of this API
 */
export function dataOf({ httpStatus, retryAfterS, json }: Exchanged): unknown {
  const answer = parseAnswer(json)
  const requestId = requestIdOf(json)
  if (answer?.success === true && httpStatus >= 200 && httpStatus < 300) return answer.data
  if (answer?.success === false && httpStatus >= 400) {
    const { code, message, details } = answer
    throw new SealwireError(code, message, {
      status: httpStatus,
      outcome: outcomeOf(httpStatus, code),
      details,
      requestId,
      retryAfterS,
    })
  }
  const redirected = httpStatus === 0 || (httpStatus >= 300 && httpStatus < 400)
  const what = redirected ? 'a redirect, and none is followed; use its target as base URL' : 'not an answer of this API'
  throw new SealwireError('answer.invalid', `HTTP ${httpStatus || '3xx'} is ${what}.`, {
    status: httpStatus,
    outcome: 'unknown',
    retryAfterS,
  })
}
