import type { Request, Response } from 'express'
import { AppError } from '../core/errors.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import { RememberedFailure } from '../messaging/connect-gate.ts'
import type { Reservation } from '../signing/signer.ts'
import type { Exchange } from './exchange.ts'
import { LimitRefusal } from './limits/limit-refusal.ts'
import type { Operation, OperationAnswer } from './operation.ts'
import { causeOf, errorBody, metaOf, type RouteKind, retryAfter, send, sendError, toAppError } from './render.ts'
import { sealAnswer } from './seal-answer.ts'
import type { Services } from './services.ts'

type Plaintext = { success: boolean; data: unknown; error: unknown }

/** How one operation answers: in the clear, or sealed to the caller and signed. */
export function createAnswers(operation: Operation, services: Services, route: RouteKind) {
  const { clock, log } = services

  /** Uses the place up: what may have to be sealed instead of this takes one of its own. */
  function takePlace(exchange: Exchange): Reservation {
    const { reservation = services.signer.reserve() } = exchange
    exchange.reservation = undefined
    return reservation
  }

  async function seal(
    exchange: Exchange,
    to: SealingRecipient,
    status: number,
    subject: string | null,
    plaintext: Plaintext,
  ): Promise<string> {
    const { requestId, requestHash, version1 } = exchange
    const answer = { op: operation.id, subject, requestId, requestHash, status, plaintext }
    const data = version1
      ? JSON.stringify(await version1.seal(answer))
      : await sealAnswer(clock, to, () => takePlace(exchange), answer)
    const { success, error } = plaintext
    const meta = JSON.stringify(metaOf(requestId, clock.now()))
    return `{"success":${success},"data":${data},"error":${JSON.stringify(error)},"meta":${meta}}`
  }

  /** Whoever lost its recipient to a revocation while the operation ran gets no answer: what was done is on record. */
  async function recipientAtEnd({ recipient, principal }: Exchange): Promise<SealingRecipient | undefined> {
    if (!operation.enveloped || !recipient) return undefined
    try {
      return await services.recipients.sealingAtEnd(principal, recipient)
    } catch (cause) {
      if (!(cause instanceof AppError) || cause.code !== 'recipient.required') throw cause
      const message = 'The recipient was revoked while this ran. Enrol again, and repeat it with its Idempotency-Key.'
      throw new AppError('outcome.unknown', message, { cause })
    }
  }

  async function succeed(res: Response, exchange: Exchange, answer: OperationAnswer<unknown>): Promise<void> {
    const { requestId } = exchange
    const { data, status = operation.statuses[0], subject = null, meta } = answer
    const recipient = answer.recipient ?? (await recipientAtEnd(exchange))
    const headers = { 'x-request-id': requestId, ...exchange.ticket.headers, ...answer.headers }
    const plaintext = { success: true, data, error: null }
    const sealing =
      operation.enveloped && recipient
        ? seal(exchange, recipient, status, subject, plaintext)
        : JSON.stringify({ ...plaintext, meta: metaOf(requestId, clock.now(), meta) })
    const [text] = await Promise.all([sealing, answer.recorded])
    services.reached('sealed')
    send(res, status, headers, text)
  }

  /** A refusal is on record before it is answered; without the record the answer is that there is none. */
  async function record({ caller, requestId }: Exchange, err: AppError): Promise<AppError> {
    const { status, code } = errorBody(err, route)
    if (status >= 500) return err
    const detail = { operation: operation.id, code, status }
    try {
      await services.audit.record({ ...caller, action: 'request.refused', outcome: 'denied', detail })
      return err
    } catch (failure) {
      return toAppError(failure, requestId)
    }
  }

  /** A caller who holds a recipient of its own believes envelopes only, refusals included. */
  async function ownRecipient({ recipient, principal }: Exchange): Promise<SealingRecipient | undefined> {
    if (!operation.enveloped) return undefined
    const began = recipient ?? (await services.recipients.clientHeldFor(principal))
    if (began?.custody !== 'client') return undefined
    return services.recipients.sealingAtEnd(principal, began).catch((err: unknown) => {
      if (err instanceof AppError && err.code === 'recipient.required') return undefined // revoked while it ran
      throw err
    })
  }

  async function refuse(req: Request, res: Response, exchange: Exchange, thrown: unknown): Promise<void> {
    const { requestId } = exchange
    const failure = toAppError(thrown, requestId)
    const { headers } = exchange.ticket
    const isLimited = failure instanceof LimitRefusal
    const err = isLimited ? failure : await record(exchange, failure) // limits have their own summary
    const body = errorBody(err, route)
    if (body.status >= 500 && !(failure instanceof RememberedFailure)) {
      const client = req.get('x-request-id')?.slice(0, 64)
      const fields = { request_id: requestId, client_request_id: client, operation: operation.id, code: err.code }
      if (err.code === 'internal') log.error({ ...fields, cause: causeOf(err.cause) }, 'unexpected failure')
      else log.warn({ ...fields, cause: causeOf(err.cause) }, 'request failed')
    }
    const isBare = isLimited && !failure.isFirst // see LimitRefusal
    const own = isBare ? undefined : await ownRecipient(exchange)
    if (!own) {
      sendError(req, res, requestId, clock.now(), err, route, headers)
      return
    }
    const plaintext = { success: false, data: null, error: body }
    const text = await seal(exchange, own, body.status, null, plaintext)
    send(res, body.status, { 'x-request-id': requestId, ...headers, ...retryAfter(err, body.status) }, text)
  }

  return { succeed, refuse }
}
