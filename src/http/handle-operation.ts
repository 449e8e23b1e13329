import type { Request, Response } from 'express'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { ENROLMENT_OPERATION } from '../envelope/operation-kinds.ts'
import { askAt } from '../messaging/outcome-errors.ts'
import type { Principal } from '../tenants/principal.ts'
import { createAnswers } from './answer.ts'
import { refuseCustodyHeaders } from './custody-headers.ts'
import type { Exchange } from './exchange.ts'
import { parseIdempotencyKey, runOnce } from './idempotent-run.ts'
import { identityOf } from './identity-of.ts'
import type { InFlight } from './in-flight.ts'
import { bodyUnits, costUnits, UNPRICED_UNITS } from './limits/cost-units.ts'
import { LimitRefusal } from './limits/limit-refusal.ts'
import type { Ticket } from './limits/limits.ts'
import type { Operation, OperationAnswer, OperationRequest } from './operation.ts'
import { newProgress, notDoneInTime, overdueAfterMs, overdueAnswer, type Progress } from './overdue.ts'
import { fingerprintOf, parseBody, parseDeadline, parseParams, parseQuery, requireScope } from './parse-request.ts'
import { presentedKey } from './presented-key.ts'
import { statusOf } from './problems.ts'
import { announcedBytes, judgeBodyHeaders, readBody } from './read-body.ts'
import { causeOf, sendError, toAppError } from './render.ts'
import { hashRequest } from './seal-answer.ts'
import type { Services } from './services.ts'
import { prepareVersion1, refuseEnvelopeVersion, wantsVersion1 } from './version-1.ts'

const isUnknown = (err: unknown): boolean => err instanceof AppError && err.code === 'outcome.unknown'

/** What ran has been done: that no answer could be made of it is not "nothing was sent". */
function unanswered(cause: unknown, data: unknown): unknown {
  const id = (data as { message_id?: unknown } | null)?.message_id
  const details = typeof id === 'string' ? { message_id: id, ask: askAt(id) } : {}
  if (isUnknown(cause)) {
    const { message, details: known } = cause as AppError
    return new AppError('outcome.unknown', message, { details: { ...details, ...known }, cause })
  }
  const message = 'It was carried out, and no answer could be made of it. Ask again with the same Idempotency-Key.'
  return new AppError('outcome.unknown', message, { details, cause })
}

/**
 * Makes the Express handler of one operation: bounds, API key, body, scope, strict JSON, idempotency, the operation, and the
 * answer, enveloped where the operation says so. A stranger's body is neither kept nor parsed; the rest of the order is that
 * of `architecture.md` section 2.
 */
export function createOperationHandler(
  operation: Operation,
  services: Services,
  inFlight: InFlight,
): (req: Request, res: Response) => Promise<void> {
  const { clock, log, provider, recipients, limits } = services
  const units = costUnits[operation.id] ?? UNPRICED_UNITS
  const route = operation.path.startsWith('/api/v2/vault') ? 'vault' : 'other'
  const { succeed, refuse } = createAnswers(operation, services, route)

  async function open(req: Request, requestId: string, startedMs: number): Promise<Exchange> {
    const address = req.ip ?? ''
    let principal: Principal | undefined
    let ticket: Ticket | undefined
    try {
      judgeBodyHeaders(req)
      const presented = presentedKey(req)
      limits.judgeAddress(address, presented)
      principal = await services.authenticate(presented, address)
      if (presented !== undefined) limits.succeeded(presented)
      ticket = await limits.admit(principal, presented ?? '', units, announcedBytes(req))
      const bytes = await readBody(req)
      ticket.bodyIs(bytes.length)
      const userAgent = req.headers['user-agent']
      const actor = { id: principal.keyId, address, ...(userAgent === undefined ? {} : { userAgent }) }
      const caller = { tenantId: principal.tenantId, actor, requestId }
      return {
        requestId,
        startedMs,
        principal,
        caller,
        ticket,
        bytes,
        recipient: undefined,
        requestHash: null,
        reservation: undefined,
      }
    } catch (err) {
      ticket?.leave()
      const isLimited = principal !== undefined && err instanceof LimitRefusal // counted for its key already
      if (err instanceof AppError && statusOf(err.code, route) < 500 && !isLimited) services.countRefusal(address)
      if (err instanceof AppError && err.code === 'auth.unauthenticated') limits.failed(address)
      throw err
    }
  }

  /** The part that may be refused with an envelope: everything behind authentication. */
  async function run(
    req: Request,
    exchange: Exchange,
    watched: { dueMs: number; progress: Progress },
  ): Promise<OperationAnswer<unknown>> {
    const { progress } = watched
    const { principal, caller, bytes, ticket } = exchange
    if (operation.enveloped)
      exchange.requestHash = hashRequest(provider, req.get('envelope-nonce'), req.method, req.originalUrl, bytes)
    if (ticket.refusal) throw ticket.refusal
    requireScope(operation, principal)
    refuseEnvelopeVersion(operation, req)
    refuseCustodyHeaders(operation, req)
    if (operation.enveloped && operation.id !== ENROLMENT_OPERATION)
      exchange.recipient = await recipients.sealingFor(principal)
    if (wantsVersion1(req)) exchange.version1 = await prepareVersion1(services, principal.tenantId, exchange.recipient)
    const body = parseBody(operation, bytes)
    const more = bodyUnits(operation.id, body)
    if (more > 0) await ticket.charge(more)
    const request: OperationRequest<Record<string, unknown>, Record<string, unknown>, unknown> = {
      principal,
      caller,
      identity: identityOf(principal, caller.actor.address ?? '', req.secure),
      params: parseParams(operation, req.params),
      query: parseQuery(operation, req.query),
      body,
      ifMatch: req.get('if-match'),
      header: (name) => req.get(name),
      startedMs: exchange.startedMs,
      deadlineMs: exchange.startedMs + parseDeadline(operation, req, services.requestDeadlineMs),
      messageId: newId('msg', clock.now()),
      requestHash: exchange.requestHash,
      clientGone: () => req.socket.destroyed,
      extend(deadlineMs) {
        watched.dueMs += deadlineMs - request.deadlineMs
        return deadlineMs
      },
      admit: () => {
        if (progress.isOver) throw notDoneInTime()
        progress.isAdmitted = true
        if (exchange.version1) exchange.version1.admit()
        else exchange.reservation ??= services.signer.reserve()
      },
    }
    progress.messageId = request.messageId
    const call = (one: typeof request) => {
      if (progress.isOver) throw notDoneInTime()
      progress.hasBegun = true
      return operation.handle(services, one)
    }
    const key = parseIdempotencyKey(req.get('idempotency-key'))
    if (key === undefined) return call(request)
    if (!operation.idempotent)
      throw new AppError('request.invalid', 'Idempotency-Key: this operation does not take one.')
    const fingerprint = fingerprintOf(provider, req, bytes)
    const enveloped = operation.enveloped === true
    return runOnce(services, {
      key,
      enveloped,
      fingerprint,
      request,
      execute: async (again) => call(again),
      recall: operation.recall?.bind(operation, services),
    })
  }

  return async function handle(req, res) {
    const requestId = newId('req', clock.now())
    const startedMs = clock.monotonic()
    const progress = newProgress()
    const watched = {
      progress,
      dueMs: startedMs + overdueAfterMs(operation, req, services.requestDeadlineMs),
      overdue() {
        if (!req.complete) return false // its body has limits of its own
        progress.isOver = true
        const err = overdueAnswer(operation, progress)
        if (!res.headersSent) log.warn({ request_id: requestId, operation: operation.id, code: err.code }, 'overdue')
        sendError(req, res, requestId, clock.now(), err, route)
        return true
      },
    }
    const leave = inFlight.enter(watched)
    let exchange: Exchange | undefined
    let ran: OperationAnswer<unknown> | undefined
    try {
      exchange = await open(req, requestId, startedMs)
      ran = await run(req, exchange, watched)
      await succeed(res, exchange, ran)
    } catch (thrown) {
      const failure = ran && operation.enveloped ? unanswered(thrown, ran.data) : thrown
      try {
        if (!exchange) throw failure
        await refuse(req, res, exchange, failure)
      } catch (last) {
        // What fails while it is being said must not hide that something may have been done.
        const err = toAppError(isUnknown(failure) ? failure : last, requestId)
        if (err.code === 'internal')
          log.error({ request_id: requestId, operation: operation.id, cause: causeOf(err.cause) }, 'unexpected failure')
        sendError(req, res, requestId, clock.now(), err, route)
      }
    } finally {
      exchange?.reservation?.release()
      exchange?.version1?.release()
      exchange?.ticket.leave()
      leave()
    }
  }
}
