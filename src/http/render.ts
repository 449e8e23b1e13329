import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError, type ErrorCode } from '../core/errors.ts'
import { apiHeaders } from './constant-headers.ts'
import { problems, statusOf } from './problems.ts'

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
}

export function metaOf(requestId: string, nowMs: number, more: { next_cursor?: string } = {}): Meta {
  return { request_id: requestId, timestamp: new Date(nowMs).toISOString(), version: API_VERSION, ...more }
}

/** Turns whatever was thrown into what the caller may see: an `AppError` as it is, anything else as `internal`. */
export function toAppError(err: unknown, requestId: string): AppError {
  if (err instanceof AppError) return err
  return new AppError('internal', `Something went wrong on our side; quote ${requestId} when you report it.`, {
    cause: err,
  })
}

export function errorBody(err: AppError, route: 'vault' | 'other'): ErrorBody {
  return {
    code: err.code,
    message: err.message,
    details: err.details ?? null,
    type: `/docs/errors/${err.code}`,
    title: problems[err.code].title,
    status: statusOf(err.code, route),
  }
}

/** Sends a finished text in one write, with the security headers and a length. */
export function send(
  res: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): void {
  if (res.headersSent || res.destroyed) return
  const body = Buffer.from(text)
  res.writeHead(status, {
    ...apiHeaders,
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    ...headers,
  })
  res.end(body)
}

/** Sends a refusal without an envelope: the wrapper, or RFC 9457 where `Accept` names `application/problem+json`. */
export function sendError(
  req: IncomingMessage,
  res: ServerResponse,
  requestId: string,
  nowMs: number,
  err: AppError,
  route: 'vault' | 'other' = 'other',
): void {
  const body = errorBody(err, route)
  const headers: Record<string, string> = { 'x-request-id': requestId }
  if (err.retryAfterS !== undefined || body.status === 503 || body.status === 429)
    headers['retry-after'] = String(Math.max(1, Math.ceil(err.retryAfterS ?? 1)))
  if (body.status === 401) headers['www-authenticate'] = 'Bearer realm="sealwire"'
  if (!req.complete) headers['connection'] = 'close' // the rest of the body is not read
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
