import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { refusesCredential } from './reason-codes.ts'

/**
 * Reports whether the next host of the same broker may do better: this one was not reached, its certificate was refused, or
 * it is not serving now. A refused login would be refused there too, and counted against the account.
 */
export function mayDoBetterElsewhere(err: unknown): boolean {
  if (!(err instanceof AppError)) return false
  if (err.code === 'broker.unreachable') return true
  if (err.code !== 'broker.rejected') return false
  const { reason, reason_code: reasonCode } = err.details ?? {}
  if (typeof reasonCode === 'number') return !refusesCredential(reasonCode)
  return !(typeof reason === 'string' && reason.startsWith('CLIENT_'))
}

/**
 * Tries the hosts of one broker in their order until one lets us in. Each has an equal share of the time that is left until
 * `deadlineMs` (monotonic clock). Fails with the first refusal that one of them gave, else with what the last one said;
 * at once with what no other host can change.
 */
export async function firstThatWorks<T>(
  { count, deadlineMs, clock }: { count: number; deadlineMs: number; clock: Clock },
  attempt: (host: number, deadlineMs: number) => Promise<T>,
): Promise<T> {
  let refusal: unknown
  for (let host = 0; ; host++) {
    const nowMs = clock.monotonic()
    try {
      return await attempt(host, nowMs + Math.max(0, (deadlineMs - nowMs) / (count - host)))
    } catch (err) {
      if (!mayDoBetterElsewhere(err)) throw err
      if (err instanceof AppError && err.code === 'broker.rejected') refusal ??= err
      if (host === count - 1) throw refusal ?? err
    }
  }
}
