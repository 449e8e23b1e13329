import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError, type ErrorCode } from '../core/errors.ts'
import { apiHeaders } from './constant-headers.ts'
import { LimitRefusal } from './limits/limit-refusal.ts'
import { problems, statusOf } from './problems.ts'
import { announcedBytes } from './read-body.ts'

/** Some codes have another status on the vault's routes. */
export type RouteKind = 'vault' | 'other'

/** What is read of a body that nobody wants, at most. */
const DRAINED_BYTES = 64 * 1024

export const API_VERSION = '2.0'

/** The error member of every refusal; the same fields are RFC 9457 members when the caller asks for them. */
export interface ErrorBody {
  code: ErrorCode
  message: string
  details: Readonly<Record<string, unknown>> | null
  type: string
  title: string
  status: number
}

export interface Meta {
  request_id: string
  timestamp: string
  version: typeof API_VERSION
  next_cursor?: string
  /** Ids that belong on this page, of objects whose stored settings this release does not understand. */
  not_understood?: readonly string[]
}

export function metaOf(
  requestId: string,
  nowMs: number,
  more: Pick<Meta, 'next_cursor' | 'not_understood'> = {},
): Meta {
  return { request_id: requestId, timestamp: new Date(nowMs).toISOString(), version: API_VERSION, ...more }
}

/** Turns whatever was thrown into what the caller may see: an `AppError` as it is, anything else as `internal`. */
export function toAppError(err: unknown, requestId: string): AppError {
  if (err instanceof AppError) return err
  return new AppError('internal', `Something went wrong on our side; quote ${requestId} when you report it.`, {
    cause: err,
  })
}

export function errorBody(err: AppError, route: RouteKind): ErrorBody {
  return {
    code: err.code,
    message: err.message,
    details: err.details ?? null,
    type: `/docs/errors/${err.code}`,
    title: problems[err.code].title,
    status: statusOf(err.code, route, err.details),
  }
}

/** `Retry-After` in whole seconds, where trying again later makes sense. */
export function retryAfter({ retryAfterS }: AppError, status: number): Record<string, string> {
  if (retryAfterS === undefined && status !== 503 && status !== 429) return {}
  return { 'retry-after': String(Math.max(1, Math.ceil(retryAfterS ?? 1))) }
}

/** Name, code and frames of a failure for the log; never its message, which may quote input. */
export function causeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause
  const { code } = cause as { code?: unknown }
  const frames = (cause.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return [typeof code === 'string' ? `${cause.name} ${code}` : cause.name, ...frames.slice(0, 8)].join('\n')
}

/** Sends a finished text in one write, with the security headers and a length. */
export function send(
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): void {
  if (res.headersSent || res.destroyed) return
  const bytes = Buffer.byteLength(text)
  res.writeHead(status, {
    ...apiHeaders,
    'content-type': 'application/json; charset=utf-8',
    'content-length': bytes,
    ...headers,
  })
  // As text, Node writes it together with the headers; as Latin-1, up to 16 KiB without a buffer of its own.
  res.end(text, bytes === text.length ? 'latin1' : 'utf8')
}

/** Sends a refusal without an envelope: the wrapper, or RFC 9457 where `Accept` names `application/problem+json`. */
export function sendError(
  req: IncomingMessage,
  res: ServerResponse,
  requestId: string,
  nowMs: number,
  err: AppError,
  route: RouteKind = 'other',
  more: Readonly<Record<string, string>> = {},
): void {
  const body = errorBody(err, route)
  const limited = err instanceof LimitRefusal
  const headers: Record<string, string> = { 'x-request-id': requestId, ...more, ...retryAfter(err, body.status) }
  if (limited) Object.assign(headers, err.headers)
  if (body.status === 401) headers['www-authenticate'] = 'Bearer realm="sealwire"'
  // The rest of a body is not read; that of a small one, refused by a limit, is, so that a retry needs no new connection.
  if (!req.complete && !(limited && announcedBytes(req) <= DRAINED_BYTES)) headers['connection'] = 'close'
  if (/application\/problem\+json/i.test(req.headers.accept ?? '')) {
    const { message, details, ...members } = body
    const problem = { ...members, detail: message, instance: requestId, details }
    send(
      res,
      body.status,
      { ...headers, 'content-type': 'application/problem+json; charset=utf-8' },
      JSON.stringify(problem),
    )
    return
  }
  send(
    res,
    body.status,
    headers,
    JSON.stringify({ success: false, data: null, error: body, meta: metaOf(requestId, nowMs) }),
  )
}
