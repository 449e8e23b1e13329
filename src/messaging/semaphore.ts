import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'

export type Release = () => void

export interface Semaphore {
  readonly used: number
  readonly waiting: number
  /**
   * Takes a permit, in the order of asking; the release may be called more than once.
   *
   * @throws {AppError} `broker.busy` when too many wait already, or none came free by `deadlineMs` (monotonic clock)
   */
  acquire(deadlineMs: number): Promise<Release>
}

export interface SemaphoreOptions {
  permits: number
  maxWaiting: number
  clock: Clock
  /** What the one who did not get a permit is told. */
  busyText: string
}

/** Lets `permits` holders through at a time and at most `maxWaiting` wait. */
export function createSemaphore({ permits, maxWaiting, clock, busyText }: SemaphoreOptions): Semaphore {
  const queue = new Set<() => void>()
  let used = 0
  const busy = () => new AppError('broker.busy', busyText, { retryAfterS: 1 })

  function take(): Release {
    used++
    let held = true
    return () => {
      if (!held) return
      held = false
      used--
      const next = queue.values().next().value
      next?.()
    }
  }

  return {
    get used() {
      return used
    },
    get waiting() {
      return queue.size
    },
    acquire(deadlineMs) {
      if (used < permits && queue.size === 0) return Promise.resolve(take())
      if (queue.size >= maxWaiting) return Promise.reject(busy())
      return new Promise((resolve, reject) => {
        const proceed = () => {
          queue.delete(proceed)
          clearTimeout(timer)
          resolve(take())
        }
        const timer = setTimeout(
          () => {
            queue.delete(proceed)
            reject(busy())
          },
          Math.max(0, deadlineMs - clock.monotonic()),
        )
        queue.add(proceed)
      })
    },
  }
}
