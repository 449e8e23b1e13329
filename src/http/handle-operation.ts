import type { Request, Response } from 'express'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { ENROLMENT_OPERATION } from '../envelope/operation-kinds.ts'
import { createAnswers } from './answer.ts'
import { refuseCustodyHeaders } from './custody-headers.ts'
import type { Exchange } from './exchange.ts'
import { parseIdempotencyKey, runOnce } from './idempotent-run.ts'
import { identityOf } from './identity-of.ts'
import type { InFlight } from './in-flight.ts'
import type { Operation, OperationAnswer, OperationRequest } from './operation.ts'
import { fingerprintOf, parseBody, parseDeadline, parseParams, parseQuery, requireScope } from './parse-request.ts'
import { presentedKey } from './presented-key.ts'
import { statusOf } from './problems.ts'
import { judgeBodyHeaders, readBody } from './read-body.ts'
import { causeOf, sendError, toAppError } from './render.ts'
import { hashRequest } from './seal-answer.ts'
import type { Services } from './services.ts'
import { prepareVersion1, refuseEnvelopeVersion, wantsVersion1 } from './version-1.ts'

const isUnknown = (err: unknown): boolean => err instanceof AppError && err.code === 'outcome.unknown'

/** What ran has been done: that no answer could be made of it is not "nothing was sent". */
function unanswered(cause: unknown): unknown {
  if (isUnknown(cause)) return cause
  const message = 'It was carried out, and no answer could be made of it. Ask again with the same Idempotency-Key.'
  return new AppError('outcome.unknown', message, { cause })
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
  const { clock, log, provider, recipients } = services
  const route = operation.path.startsWith('/api/v2/vault') ? 'vault' : 'other'
  const { succeed, refuse } = createAnswers(operation, services, route)

  async function open(req: Request, requestId: string, startedMs: number): Promise<Exchange> {
    const address = req.ip ?? ''
    try {
      judgeBodyHeaders(req)
      const principal = await services.authenticate(presentedKey(req), address)
      const bytes = await readBody(req)
      const userAgent = req.headers['user-agent']
      const actor = { id: principal.keyId, address, ...(userAgent === undefined ? {} : { userAgent }) }
      const caller = { tenantId: principal.tenantId, actor, requestId }
      return {
        requestId,
        startedMs,
        principal,
        caller,
        bytes,
        recipient: undefined,
        requestHash: null,
        reservation: undefined,
      }
    } catch (err) {
      if (err instanceof AppError && statusOf(err.code, route) < 500) services.countRefusal(address)
      throw err
    }
  }

  /** The part that may be refused with an envelope: everything behind authentication. */
  async function run(req: Request, exchange: Exchange): Promise<OperationAnswer<unknown>> {
    const { principal, caller, bytes } = exchange
    if (operation.enveloped)
      exchange.requestHash = hashRequest(provider, req.get('envelope-nonce'), req.method, req.originalUrl, bytes)
    requireScope(operation, principal)
    refuseEnvelopeVersion(operation, req)
    refuseCustodyHeaders(operation, req)
    if (operation.enveloped && operation.id !== ENROLMENT_OPERATION)
      exchange.recipient = await recipients.sealingFor(principal)
    if (wantsVersion1(req)) exchange.version1 = await prepareVersion1(services, principal.tenantId, exchange.recipient)
    const request: OperationRequest<Record<string, unknown>, Record<string, unknown>, unknown> = {
      principal,
      caller,
      identity: identityOf(principal, caller.actor.address ?? '', req.secure),
      params: parseParams(operation, req.params),
      query: parseQuery(operation, req.query),
      body: parseBody(operation, bytes),
      ifMatch: req.get('if-match'),
      header: (name) => req.get(name),
      startedMs: exchange.startedMs,
      deadlineMs: exchange.startedMs + parseDeadline(operation, req),
      messageId: newId('msg', clock.now()),
      requestHash: exchange.requestHash,
      admit: () => {
        if (exchange.version1) exchange.version1.admit()
        else exchange.reservation ??= services.signer.reserve()
      },
    }
    const key = parseIdempotencyKey(req.get('idempotency-key'))
    if (key === undefined) return operation.handle(services, request)
    if (!operation.idempotent)
      throw new AppError('request.invalid', 'Idempotency-Key: this operation does not take one.')
    const fingerprint = fingerprintOf(provider, req, bytes)
    const enveloped = operation.enveloped === true
    return runOnce(services, {
      key,
      enveloped,
      fingerprint,
      request,
      execute: (again) => operation.handle(services, again),
    })
  }

  return async function handle(req, res) {
    const requestId = newId('req', clock.now())
    const leave = inFlight.enter()
    let exchange: Exchange | undefined
    let hasRun = false
    try {
      exchange = await open(req, requestId, clock.monotonic())
      const answer = await run(req, exchange)
      hasRun = true
      await succeed(res, exchange, answer)
    } catch (thrown) {
      const failure = hasRun && operation.enveloped ? unanswered(thrown) : thrown
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
      leave()
    }
  }
}
