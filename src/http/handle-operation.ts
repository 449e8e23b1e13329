import type { Request, Response } from 'express'
import { z } from 'zod'
import type { Caller } from '../audit/audit.ts'
import { type Bytes, labelled, lengthPrefixed } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { Reservation } from '../signing/signer.ts'
import type { Principal } from '../tenants/principal.ts'
import type { KnownRecipient } from '../tenants/recipients.ts'
import { type IdempotentRun, parseIdempotencyKey, runOnce } from './idempotent-run.ts'
import type { Operation, OperationAnswer, OperationRequest } from './operation.ts'
import { presentedKey } from './presented-key.ts'
import { statusOf } from './problems.ts'
import { readBody } from './read-body.ts'
import { errorBody, metaOf, send, sendError, toAppError } from './render.ts'
import { hashRequest, sealAnswer } from './seal-answer.ts'
import type { Services } from './services.ts'

const DEFAULT_DEADLINE_MS = 10_000
const MAX_DEADLINE_MS = 30_000
const nothing = z.strictObject({})

/** Every bad member at once, each with its path and its rule. */
function describe(where: string, error: z.ZodError): AppError {
  const lines = error.issues.slice(0, 20).map((issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`)
  return new AppError('request.invalid', `${lines.join('; ')}.`)
}

function parseWith<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw describe(where, parsed.error)
  return parsed.data
}

/** A path parameter of the wrong shape names nothing, exactly as an unknown id does. */
function parseParams(operation: Operation, params: unknown): Record<string, unknown> {
  const parsed = (operation.params ?? nothing).safeParse(params)
  if (!parsed.success) throw new AppError('object.not_found', 'No such object.')
  return parsed.data
}

function parseBody(operation: Operation, bytes: Uint8Array): unknown {
  const schema = operation.body ?? nothing
  if (bytes.length === 0) return parseWith(schema, {}, 'body')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (err) {
    throw new AppError('request.invalid', 'Body: not UTF-8.', { cause: err })
  }
  return parseWith(schema, parseStrictJson(text) ?? {}, 'body')
}

function parseDeadline(header: string | undefined): number {
  if (header === undefined) return DEFAULT_DEADLINE_MS
  const value = /^[1-9]\d{1,5}$/.test(header) ? Number(header) : 0
  if (value < 10 || value > MAX_DEADLINE_MS) {
    throw new AppError('request.invalid', `Request-Deadline-Ms: must be an integer from 10 to ${MAX_DEADLINE_MS}.`)
  }
  return value
}

function requireScope(operation: Operation, principal: Principal): void {
  if (operation.scopes.some((scope) => principal.scopes.has(scope))) return
  const wanted = operation.scopes.join(' or ')
  throw new AppError('auth.forbidden', `This API key lacks the scope ${wanted}.`, {
    details: { scope: operation.scopes[0] },
  })
}

/**
 * SHA-384 over what makes two requests the same. The API key is part of it, so that a kept fingerprint helps nobody who
 * reads the database to guess what was in a body.
 */
function fingerprintOf(provider: CryptoProvider, req: Request, bytes: Uint8Array): Bytes {
  const parts = [presentedKey(req) ?? '', req.method, req.originalUrl, bytes]
  return provider.sha384(labelled('sealwire/idempotency/v1', ...parts.map(lengthPrefixed)))
}

/** Split custody is not there yet: what asks for it is refused, never sealed without it. */
function refuseCustody(req: Request): void {
  for (const name of ['X-Vault-Enable-MPC', 'X-Vault-Custody-Key']) {
    if (req.get(name) !== undefined) throw new AppError('request.invalid', `${name}: split custody is not available.`)
  }
}

/** What is known of a request once its caller is. */
interface Exchange {
  requestId: string
  principal: Principal
  caller: Caller
  bytes: Uint8Array
  recipient: KnownRecipient | undefined
  requestHash: string | null
  reservation: Reservation | undefined
}

/**
 * Makes the Express handler of one operation: bounded body, API key, scope, strict JSON, idempotency, the operation, and
 * the answer, enveloped where the operation says so. The order is the contract of `architecture.md` section 2, but that
 * JSON is parsed after the key is known: a stranger's JSON is never parsed.
 */
export function createOperationHandler(
  operation: Operation,
  services: Services,
): (req: Request, res: Response) => Promise<void> {
  const { clock, log } = services
  const route = operation.path.startsWith('/api/v2/vault') ? 'vault' : 'other'

  async function open(req: Request, requestId: string): Promise<Exchange> {
    const address = req.ip ?? ''
    let bytes: Uint8Array
    let principal: Principal
    try {
      bytes = await readBody(req)
      principal = await services.authenticate(presentedKey(req), address)
    } catch (err) {
      if (!(err instanceof AppError) || statusOf(err.code, route) < 500) services.countRefusal(address)
      throw err
    }
    const userAgent = req.headers['user-agent']
    const actor = { id: principal.keyId, address, ...(userAgent === undefined ? {} : { userAgent }) }
    const caller = { tenantId: principal.tenantId, actor, requestId }
    return { requestId, principal, caller, bytes, recipient: undefined, requestHash: null, reservation: undefined }
  }

  /** The part that may be refused with an envelope: everything behind authentication. */
  async function run(req: Request, exchange: Exchange): Promise<OperationAnswer<unknown>> {
    const { principal, caller, bytes } = exchange
    if (operation.enveloped) {
      const version = req.get('envelope-version')
      exchange.requestHash = hashRequest(
        services.provider,
        req.get('envelope-nonce'),
        req.method,
        req.originalUrl,
        bytes,
      )
      if (operation.id !== 'recipients.enroll') exchange.recipient = await services.recipients.sealingFor(principal)
      if (version !== undefined && version !== '2')
        throw new AppError('request.invalid', 'Envelope-Version: this tenant allows version 2 only.')
    }
    requireScope(operation, principal)
    refuseCustody(req)
    const request: OperationRequest<Record<string, unknown>, Record<string, unknown>, unknown> = {
      principal,
      caller,
      params: parseParams(operation, req.params),
      query: parseWith(operation.query ?? nothing, { ...req.query }, 'query'),
      body: parseBody(operation, bytes),
      ifMatch: req.get('if-match'),
      header: (name) => req.get(name),
      deadlineMs: clock.monotonic() + parseDeadline(req.get('request-deadline-ms')),
      messageId: newId('msg', clock.now()),
      requestHash: exchange.requestHash,
      admit: () => {
        exchange.reservation ??= services.signer.reserve()
      },
    }
    const key = parseIdempotencyKey(req.get('idempotency-key'))
    if (key === undefined) return operation.handle(services, request)
    if (!operation.idempotent)
      throw new AppError('request.invalid', 'Idempotency-Key: this operation does not take one.')
    const fingerprint = fingerprintOf(services.provider, req, bytes)
    const idempotent: IdempotentRun = {
      key,
      enveloped: operation.enveloped === true,
      fingerprint,
      request,
      execute: (again) => operation.handle(services, again),
    }
    return runOnce(services, idempotent)
  }

  async function sealedText(
    exchange: Exchange,
    recipient: SealingRecipient,
    status: number,
    subject: string | null,
    plaintext: { success: boolean; data: unknown; error: unknown },
    meta = {},
  ): Promise<string> {
    exchange.reservation ??= services.signer.reserve()
    const { requestId, requestHash } = exchange
    const envelope = await sealAnswer(services, recipient, exchange.reservation, {
      op: operation.id,
      subject,
      requestId,
      requestHash,
      status,
      plaintext,
    })
    return JSON.stringify({
      success: plaintext.success,
      data: envelope,
      error: plaintext.error,
      meta: metaOf(requestId, clock.now(), meta),
    })
  }

  async function succeed(res: Response, exchange: Exchange, answer: OperationAnswer<unknown>): Promise<void> {
    const status = answer.status ?? operation.statuses[0]
    const headers = { 'x-request-id': exchange.requestId, ...answer.headers }
    const recipient = answer.recipient ?? exchange.recipient
    if (operation.enveloped && recipient) {
      const plaintext = { success: true, data: answer.data, error: null }
      send(res, status, headers, await sealedText(exchange, recipient, status, answer.subject ?? null, plaintext))
      return
    }
    send(
      res,
      status,
      headers,
      JSON.stringify({
        success: true,
        data: answer.data,
        error: null,
        meta: metaOf(exchange.requestId, clock.now(), answer.meta),
      }),
    )
  }

  /** A refusal is on record before it is answered; without the record the answer is that there is none. */
  async function recordRefusal(exchange: Exchange, err: AppError): Promise<AppError> {
    const { status, code } = errorBody(err, route)
    if (status >= 500) return err
    try {
      await services.audit.record({
        ...exchange.caller,
        action: 'request.refused',
        outcome: 'denied',
        detail: { operation: operation.id, code, status },
      })
      return err
    } catch (failure) {
      return toAppError(failure, exchange.requestId)
    }
  }

  async function refuse(req: Request, res: Response, exchange: Exchange, thrown: unknown): Promise<void> {
    const err = await recordRefusal(exchange, toAppError(thrown, exchange.requestId))
    const body = errorBody(err, route)
    if (body.status >= 500)
      log.warn(
        { request_id: exchange.requestId, operation: operation.id, code: err.code, cause: nameOf(err.cause) },
        'request failed',
      )
    const own = operation.enveloped && exchange.recipient?.custody === 'client' ? exchange.recipient : undefined
    if (!own) {
      sendError(req, res, exchange.requestId, clock.now(), err, route)
      return
    }
    const headers: Record<string, string> = { 'x-request-id': exchange.requestId }
    if (body.status === 503 || err.retryAfterS !== undefined)
      headers['retry-after'] = String(Math.max(1, Math.ceil(err.retryAfterS ?? 1)))
    send(
      res,
      body.status,
      headers,
      await sealedText(exchange, own, body.status, null, { success: false, data: null, error: body }),
    )
  }

  return async function handle(req, res) {
    const requestId = newId('req', clock.now())
    let exchange: Exchange | undefined
    try {
      exchange = await open(req, requestId)
      await succeed(res, exchange, await run(req, exchange))
    } catch (thrown) {
      try {
        if (!exchange) throw thrown
        await refuse(req, res, exchange, thrown)
      } catch (last) {
        const err = toAppError(last, requestId)
        if (err.code === 'internal')
          log.error({ request_id: requestId, operation: operation.id, cause: stackOf(err.cause) }, 'unexpected failure')
        sendError(req, res, requestId, clock.now(), err, route)
      }
    } finally {
      exchange?.reservation?.release()
    }
  }
}

/** What a failure is called: a code or a name, never its message, which may quote input. */
function nameOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause
  const { code } = cause as { code?: unknown }
  return typeof code === 'string' ? code : cause.name
}

/** Name and frames of a failure; its message may quote input. */
function stackOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause
  return `${cause.name}\n${(cause.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 8)
    .join('\n')}`
}
