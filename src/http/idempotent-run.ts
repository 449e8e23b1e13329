import type { Bytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Claim, IdempotencyScope, Run } from '../idempotency/idempotency.ts'
import { EXPIRED, withDeadline } from '../messaging/deadline.ts'
import { askAt } from '../messaging/outcome-errors.ts'
import type { OperationAnswer, OperationRequest, Recalled } from './operation.ts'
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
  /** What is on record of an earlier run, where the operation leaves a record. */
  recall?: ((request: AnyRequest, messageId: string) => Promise<Recalled<unknown>>) | undefined
}

type Parts = Pick<Services, 'idempotency' | 'clock' | 'log' | 'reached'>

/** Milliseconds beyond its deadline that a run may take before it counts as interrupted: a collect outlives its header. */
const CLAIM_GRACE_MS = 30_000

/** What is kept of a finished run: its answer, or that nobody knows how it ended. Never an envelope. */
type KeptAnswer = Pick<OperationAnswer<unknown>, 'data' | 'status' | 'subject' | 'headers'>
type Kept = { answer: KeptAnswer } | { unknown: true }

/** What is kept of an answer: what it shows once is not. */
function keptOf({ data: shown, kept: data = shown, status, subject, headers }: OperationAnswer<unknown>): Kept {
  return { answer: { data, ...(status && { status }), ...(subject && { subject }), ...(headers && { headers }) } }
}

/** Which message it was, and where the operation leaves a record, where to ask for it. */
function detailsOf(run: IdempotentRun, messageId: string) {
  return { message_id: messageId, ...(run.recall && { ask: askAt(messageId) }) }
}

function unknownOutcome(run: IdempotentRun, messageId: string, cause?: unknown): AppError {
  return new AppError(
    'outcome.unknown',
    'An earlier attempt with this Idempotency-Key may have been carried out; nobody saw how it ended.',
    { details: detailsOf(run, messageId), cause },
  )
}

function stillRunning(run: IdempotentRun, messageId: string, leftMs: number): AppError {
  return new AppError('idempotency.running', 'Idempotency-Key: the first request with it is still running.', {
    details: detailsOf(run, messageId),
    retryAfterS: Math.max(1, Math.ceil(leftMs / 1000)),
  })
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

/** Settles a key after the fact: what happened is answered even if this fails, and the claim then ends as interrupted. */
async function settle({ log }: Parts, { request }: IdempotentRun, work: Promise<void>): Promise<void> {
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

/**
 * Answers for a run that was there first: with what it kept, else with what is on record of it, else that it still runs or
 * that nobody knows. `undefined` where it is proven that it did nothing, and its key is now that of `own`.
 */
async function answerEarlier(
  parts: Parts,
  run: IdempotentRun,
  scope: IdempotencyScope,
  claim: Exclude<Claim, { state: 'claimed' }>,
  own: Run,
): Promise<OperationAnswer<unknown> | undefined> {
  const { messageId } = claim
  if (claim.state === 'replay') {
    const kept = claim.answer as Kept
    if ('answer' in kept) return replayed(kept.answer, run.enveloped)
  }
  let recalled: Recalled<unknown> = 'unknown'
  try {
    if (run.recall) recalled = await run.recall(run.request, messageId)
  } catch (err) {
    if (claim.state === 'running') throw stillRunning(run, messageId, claim.leftMs)
    throw unknownOutcome(run, messageId, err)
  }
  if (recalled instanceof AppError) throw recalled
  if (typeof recalled === 'object') {
    const kept = keptOf(recalled)
    // While the first one may still keep its own answer, it is left to.
    if (claim.state === 'interrupted') await settle(parts, run, parts.idempotency.finish(scope, messageId, kept))
    return replayed(recalled, run.enveloped)
  }
  if (claim.state === 'running') throw stillRunning(run, messageId, claim.leftMs)
  if (claim.state === 'replay' || recalled === 'unknown') throw unknownOutcome(run, messageId)
  if (!(await parts.idempotency.takeOver(scope, messageId, own))) throw stillRunning(run, messageId, 0) // another one did
  if (await isStillNothing(run, messageId)) return undefined
  await settle(parts, run, parts.idempotency.giveBack(scope, own.messageId, messageId))
  throw unknownOutcome(run, messageId)
}

/**
 * Looks once more when the key has been taken over. The earlier run, should it only have been slow, puts its intent on
 * record and then asks whether the key is its own: whatever their clocks say, at least one of the two sees the other.
 */
async function isStillNothing({ recall, request }: IdempotentRun, messageId: string): Promise<boolean> {
  try {
    return (await recall?.(request, messageId)) === 'nothing'
  } catch {
    return false // not known to be nothing
  }
}

/** See {@link isStillNothing}; what it throws is why nothing is sent. */
async function assertOwn({ idempotency, clock }: Parts, run: IdempotentRun, scope: IdempotencyScope): Promise<void> {
  const { messageId, deadlineMs } = run.request
  const holds = await withDeadline(idempotency.holds(scope, messageId), deadlineMs, clock)
  if (holds === true) return
  if (holds === EXPIRED) {
    const text = 'Nothing was sent: whether the Idempotency-Key is still that of this request was not known in time.'
    throw new AppError('database.unavailable', text, { retryAfterS: 1 })
  }
  const text = 'Idempotency-Key: another request with it went ahead in place of this one, of which nothing was sent.'
  throw new AppError('idempotency.running', text, { details: detailsOf(run, messageId), retryAfterS: 1 })
}

/**
 * Runs a request at most once for its `Idempotency-Key`. A refusal that proves that nothing was done frees the key; an
 * answer is kept and repeated; an outcome that nobody knows is kept too, so that a retry never sends a second message.
 * A run that ended without settling its key (a killed process) is answered for as the record says: only where that proves
 * that nothing was done does the request run again. What a retry meets after each step is in `idempotency/README.md`.
 *
 * @throws {AppError} `idempotency.running`, `idempotency.mismatch`, `outcome.unknown`, and whatever `execute` throws
 */
export async function runOnce(parts: Parts, run: IdempotentRun): Promise<OperationAnswer<unknown>> {
  const { idempotency, clock, reached } = parts
  const { request } = run
  const { messageId } = request
  const scope = { tenantId: request.principal.tenantId, apiKeyId: request.principal.keyId, key: run.key }
  const own = { messageId, leftMs: Math.max(0, request.deadlineMs - clock.monotonic()) + CLAIM_GRACE_MS }
  const claim = await idempotency.claim(scope, run.fingerprint, own)
  if (claim.state !== 'claimed') {
    const earlier = await answerEarlier(parts, run, scope, claim, own)
    if (earlier) return earlier
  }
  reached('claimed')

  let answer: OperationAnswer<unknown>
  try {
    answer = await run.execute({ ...request, beforeSending: () => assertOwn(parts, run, scope) })
    await answer.recorded
  } catch (err) {
    if (err instanceof AppError && err.code === 'outcome.unknown')
      await settle(parts, run, idempotency.finish(scope, messageId, { unknown: true } satisfies Kept))
    else if (err instanceof AppError && err.code !== 'internal')
      await settle(parts, run, idempotency.forget(scope, messageId))
    throw err // anything else leaves the claim, which turns into "unknown" at its deadline
  }
  if (answer.keep === false) await settle(parts, run, idempotency.forget(scope, messageId))
  else await settle(parts, run, idempotency.finish(scope, messageId, keptOf(answer)))
  reached('kept')
  return answer
}
