import type { Request, Response } from 'express'
import type { AppError } from '../core/errors.ts'
import type { SealingRecipient } from '../envelope/seal.ts'
import type { Exchange } from './exchange.ts'
import type { Operation, OperationAnswer } from './operation.ts'
import { causeOf, errorBody, metaOf, type RouteKind, retryAfter, send, sendError, toAppError } from './render.ts'
import { sealAnswer } from './seal-answer.ts'
import type { Services } from './services.ts'

type Plaintext = { success: boolean; data: unknown; error: unknown }

/** How one operation answers: in the clear, or sealed to the caller and signed. */
export function createAnswers(operation: Operation, services: Services, route: RouteKind) {
  const { clock, log } = services

  async function seal(
    exchange: Exchange,
    to: SealingRecipient,
    status: number,
    subject: string | null,
    plaintext: Plaintext,
  ): Promise<string> {
    exchange.reservation ??= services.signer.reserve()
    const { requestId, requestHash, reservation } = exchange
    const answer = { op: operation.id, subject, requestId, requestHash, status, plaintext }
    const data = await sealAnswer(services, to, reservation, answer)
    const { success, error } = plaintext
    return JSON.stringify({ success, data, error, meta: metaOf(requestId, clock.now()) })
  }

  async function succeed(res: Response, exchange: Exchange, answer: OperationAnswer<unknown>): Promise<void> {
    const { requestId } = exchange
    const { data, status = operation.statuses[0], subject = null, meta, recipient = exchange.recipient } = answer
    const headers = { 'x-request-id': requestId, ...answer.headers }
    const plaintext = { success: true, data, error: null }
    const sealed = operation.enveloped && recipient
    const text = sealed
      ? await seal(exchange, recipient, status, subject, plaintext)
      : JSON.stringify({ ...plaintext, meta: metaOf(requestId, clock.now(), meta) })
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
    const known = recipient ?? (await services.recipients.clientHeldFor(principal))
    return known?.custody === 'client' ? known : undefined
  }

  async function refuse(req: Request, res: Response, exchange: Exchange, thrown: unknown): Promise<void> {
    const { requestId } = exchange
    const err = await record(exchange, toAppError(thrown, requestId))
    const body = errorBody(err, route)
    if (body.status >= 500) {
      const client = req.get('x-request-id')?.slice(0, 64)
      const fields = { request_id: requestId, client_request_id: client, operation: operation.id, code: err.code }
      if (err.code === 'internal') log.error({ ...fields, cause: causeOf(err.cause) }, 'unexpected failure')
      else log.warn({ ...fields, cause: causeOf(err.cause) }, 'request failed')
    }
    const own = await ownRecipient(exchange)
    if (!own) {
      sendError(req, res, requestId, clock.now(), err, route)
      return
    }
    const plaintext = { success: false, data: null, error: body }
    const text = await seal(exchange, own, body.status, null, plaintext)
    send(res, body.status, { 'x-request-id': requestId, ...retryAfter(err, body.status) }, text)
  }

  return { succeed, refuse }
}
