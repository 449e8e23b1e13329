import type { Bytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { OperationAnswer, OperationRequest } from './operation.ts'
import type { Services } from './services.ts'

type AnyRequest = OperationRequest<Record<string, unknown>, Record<string, unknown>, unknown>

export interface IdempotentRun {
  key: string
  /** SHA-384 over method, target and body: what makes two requests the same. */
  fingerprint: Bytes
  /** An envelope says it inside, where it is signed; every replay says it in a header. */
  enveloped: boolean
  request: AnyRequest
  execute: (request: AnyRequest) => Promise<OperationAnswer<unknown>>
}

/** Milliseconds beyond its deadline that a run may take before it counts as interrupted: a collect outlives its header. */
const CLAIM_GRACE_MS = 30_000

/** What is kept of a finished run: its answer, or that nobody knows how it ended. Never an envelope. */
type KeptAnswer = Pick<OperationAnswer<unknown>, 'data' | 'status' | 'subject' | 'headers'>
type Kept = { answer: KeptAnswer } | { unknown: true }

function unknownOutcome(messageId: string): AppError {
  return new AppError(
    'outcome.unknown',
    'An earlier attempt with this Idempotency-Key may have been carried out; nobody saw how it ended.',
    {
      details: { message_id: messageId },
    },
  )
}

/** Marks a repeated answer, so that a caller can tell a second delivery of the answer from a second run. */
function replayed(answer: KeptAnswer, enveloped: boolean): OperationAnswer<unknown> {
  const data = enveloped ? { ...(answer.data as object), replayed: true } : answer.data
  return { ...answer, data, headers: { ...answer.headers, 'idempotency-replayed': 'true' } }
}

/** @throws {AppError} `request.invalid` for a key that is not one */
export function parseIdempotencyKey(header: string | undefined): string | undefined {
  if (header === undefined || /^[A-Za-z0-9_:-]{1,255}$/.test(header)) return header
  throw new AppError(
    'request.invalid',
    'Idempotency-Key: must be 1 to 255 characters of A-Z, a-z, 0-9, "_", ":" and "-".',
  )
}

/**
 * Runs a request at most once for its `Idempotency-Key`. A refusal that proves that nothing was done frees the key; an
 * answer is kept and repeated; an outcome that nobody knows is kept too, so that a retry never sends a second message.
 * What happened is answered even if it could not be kept: the claim then ends as interrupted, which is answered as unknown.
 *
 * @throws {AppError} `idempotency.running`, `idempotency.mismatch`, `outcome.unknown`, and whatever `execute` throws
 */
export async function runOnce(
  { idempotency, clock, log }: Pick<Services, 'idempotency' | 'clock' | 'log'>,
  run: IdempotentRun,
): Promise<OperationAnswer<unknown>> {
  const { request } = run
  const scope = { tenantId: request.principal.tenantId, apiKeyId: request.principal.keyId, key: run.key }
  const deadlineAt = new Date(clock.now() + Math.max(0, request.deadlineMs - clock.monotonic()) + CLAIM_GRACE_MS)
  const claim = await idempotency.claim(scope, run.fingerprint, { messageId: request.messageId, deadlineAt })
  if (claim.state === 'interrupted') throw unknownOutcome(claim.messageId)
  if (claim.state === 'replay') {
    const kept = claim.answer as Kept
    if ('unknown' in kept) throw unknownOutcome(claim.messageId)
    return replayed(kept.answer, run.enveloped)
  }

  const settle = async (work: Promise<void>) => {
    try {
      await work
    } catch (err) {
      const { code } = err as { code?: unknown }
      log.warn(
        { request_id: request.caller.requestId, code },
        'an idempotency key could not be settled; it ends as interrupted',
      )
    }
  }
  let answer: OperationAnswer<unknown>
  try {
    answer = await run.execute(request)
    await answer.recorded
  } catch (err) {
    if (err instanceof AppError && err.code === 'outcome.unknown')
      await settle(idempotency.finish(scope, { unknown: true } satisfies Kept))
    else if (err instanceof AppError && err.code !== 'internal') await settle(idempotency.forget(scope))
    throw err // anything else leaves the claim, which turns into "unknown" at its deadline
  }
  if (answer.keep === false) await settle(idempotency.forget(scope))
  else {
    const { data: shown, kept: data = shown, status, subject, headers } = answer
    await settle(idempotency.finish(scope, { answer: { data, status, subject, headers } }))
  }
  return answer
}
