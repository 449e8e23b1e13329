import type { CallClock } from './call-clock.ts'
import { SealwireError, toSealwireError, UnprotectedError } from './sealwire-error.ts'

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 8_000

export interface CallLimits {
  /** For the whole call, waits and repetitions included. */
  timeoutMs: number
  /** Attempts after the first. */
  maxRetries: number
  /** Whether running twice does no harm, because nothing changes or an idempotency key holds the attempts together. */
  repeatable: boolean
  signal?: AbortSignal | undefined
}

/** Full jitter: from nothing to a bound that doubles with each attempt; after `Retry-After` where the server named one. */
export function waitBeforeMs(attempt: number, retryAfterS: number | undefined, random: number): number {
  const jitterMs = random * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt)
  return (retryAfterS ?? 0) * 1000 + jitterMs
}

/** Judges whether another attempt may help. A bare answer may cause this and nothing else. */
export function isRetryable(error: SealwireError, repeatable: boolean): boolean {
  if (error.code === 'network') return repeatable || error.outcome === 'unavailable'
  const status = error instanceof UnprotectedError ? error.claim.httpStatus : error.status
  if (status !== 429 && status !== 503 && error.code !== 'idempotency.running') return false
  return repeatable || error.outcome !== 'unknown'
}

function interrupted(limits: CallLimits, sent: boolean, cause: unknown): SealwireError {
  const outcome = sent ? 'unknown' : 'rejected'
  return limits.signal?.aborted
    ? new SealwireError('aborted', 'The call was aborted.', { outcome, cause })
    : new SealwireError('timeout', `No answer within ${limits.timeoutMs} ms.`, { outcome, cause })
}

/**
 * Runs a call until it succeeds, fails for good, or has used up its attempts or its time.
 *
 * Once an attempt may have run, no later refusal takes that back: the call then fails with outcome `unknown`.
 *
 * @throws {SealwireError}
 */
export async function withAttempts<T>(
  clock: CallClock,
  limits: CallLimits,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(limits.timeoutMs)
  const signal = limits.signal ? AbortSignal.any([limits.signal, deadline]) : deadline
  const endsAtMs = clock.monotonic() + limits.timeoutMs
  let mayHaveRun = false
  for (let attempts = 0; ; attempts++) {
    if (signal.aborted) throw interrupted(limits, mayHaveRun, signal.reason)
    try {
      return await attempt(signal)
    } catch (err) {
      if (signal.aborted) throw interrupted(limits, true, err)
      const error = toSealwireError(err, 'unknown')
      mayHaveRun ||= error.outcome === 'unknown'
      const waitMs = waitBeforeMs(attempts, error.retryAfterS, Math.random())
      const worthIt = attempts < limits.maxRetries && clock.monotonic() + waitMs < endsAtMs
      if (!worthIt || !isRetryable(error, limits.repeatable)) throw mayHaveRun ? error.withOutcome('unknown') : error
      await clock.wait(waitMs, signal).catch((reason: unknown) => {
        throw interrupted(limits, mayHaveRun, reason)
      })
    }
  }
}
