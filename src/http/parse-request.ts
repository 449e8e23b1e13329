import type { Request } from 'express'
import { z } from 'zod'
import { type Bytes, labelled, lengthPrefixed } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Principal } from '../tenants/principal.ts'
import { custodyMark } from './custody-headers.ts'
import type { Operation } from './operation.ts'
import { presentedKey } from './presented-key.ts'

export const DEADLINE_HEADER = 'Request-Deadline-Ms'
const MAX_DEADLINE_MS = 30_000
const MAX_ISSUES = 20
const MAX_ISSUE_CHARACTERS = 256

const nothing = z.strictObject({})

/** Where a member stands: `body.payload.messages[17].qos`. */
function memberOf(where: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => text + (typeof key === 'number' ? `[${key}]` : `.${String(key)}`), where)
}

/** Every bad member at once, each with its path and its rule; what the caller sent is not repeated at length. */
function describe(where: string, error: z.ZodError): AppError {
  const lines = error.issues
    .slice(0, MAX_ISSUES)
    .map((issue) => `${memberOf(where, issue.path)}: ${issue.message}`.slice(0, MAX_ISSUE_CHARACTERS))
  return new AppError('request.invalid', `${lines.join('; ')}.`)
}

function parseWith<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw describe(where, parsed.error)
  return parsed.data
}

/** A path parameter of the wrong shape names nothing, exactly as an unknown id does. */
export function parseParams({ params = nothing }: Operation, given: unknown): Record<string, unknown> {
  const parsed = params.safeParse(given)
  if (!parsed.success) throw new AppError('object.not_found', 'No such object.')
  return parsed.data
}

export function parseQuery({ query = nothing }: Operation, given: object): Record<string, unknown> {
  return parseWith(query, { ...given }, 'query')
}

/** Parses a body as strict JSON of the operation's schema; an empty one and `null` are `{}`. */
export function parseBody({ body = nothing }: Operation, bytes: Uint8Array): unknown {
  if (bytes.length === 0) return parseWith(body, {}, 'body')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (err) {
    throw new AppError('request.invalid', 'Body: not UTF-8.', { cause: err })
  }
  return parseWith(body, parseStrictJson(text) ?? {}, 'body')
}

/** Reads `Request-Deadline-Ms`, in milliseconds, `defaultMs` without one; an operation that cannot keep it refuses it. */
export function parseDeadline(operation: Operation, req: Request, defaultMs: number): number {
  const header = req.get(DEADLINE_HEADER)
  if (header === undefined) return defaultMs
  if (operation.headers?.[DEADLINE_HEADER] === undefined) {
    throw new AppError('request.invalid', `${DEADLINE_HEADER}: this operation does not take one.`)
  }
  const value = /^[1-9]\d{1,5}$/.test(header) ? Number(header) : 0
  if (value < 10 || value > MAX_DEADLINE_MS) {
    throw new AppError('request.invalid', `${DEADLINE_HEADER}: must be an integer from 10 to ${MAX_DEADLINE_MS}.`)
  }
  return value
}

/** @throws {AppError} `auth.forbidden` unless the key holds one of the operation's scopes */
export function requireScope(operation: Operation, principal: Principal): void {
  if (operation.scopes.some((scope) => principal.scopes.has(scope))) return
  const wanted = operation.scopes.join(' or ')
  const details = { scope: operation.scopes[0] }
  throw new AppError('auth.forbidden', `This API key lacks the scope ${wanted}.`, { details })
}

/**
 * SHA-384 over what makes two requests the same. The API key is part of it, so that a kept fingerprint helps nobody who
 * reads the database to guess what was in a body.
 */
export function fingerprintOf(provider: CryptoProvider, req: Request, bytes: Uint8Array): Bytes {
  const parts = [presentedKey(req) ?? '', req.method, req.originalUrl, bytes, ...custodyMark(req)]
  return provider.sha384(labelled('sealwire/idempotency/v1', ...parts.map((part) => lengthPrefixed(part))))
}
