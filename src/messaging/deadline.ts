import type { Clock } from '../core/clock.ts'

export const EXPIRED = Symbol('expired')

/** Settles as `promise` does, or with {@link EXPIRED} at `deadlineMs` on the monotonic clock; the promise goes on. */
export function withDeadline<T>(promise: Promise<T>, deadlineMs: number, clock: Clock): Promise<T | typeof EXPIRED> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.max(0, deadlineMs - clock.monotonic()), EXPIRED)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (err: unknown) => {
        clearTimeout(timer)
        reject(err)
      },
    )
  })
}

/** Resolves at `timeMs` on the monotonic clock, at once when it has passed. */
export function sleepUntil(timeMs: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, timeMs - clock.monotonic())))
}
