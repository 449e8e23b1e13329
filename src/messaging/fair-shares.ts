import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Release } from './semaphore.ts'

export interface FairShares {
  readonly used: number
  /**
   * Takes a permit; the release may be called more than once.
   *
   * @throws {AppError} `broker.busy` when none came free by `deadlineMs` (monotonic clock)
   */
  acquire(tenantId: string, deadlineMs: number): Promise<Release>
}

/** What a tenant may hold of the permits that are left when it takes one. */
const OF_THE_REST = 1 / 8

/**
 * Lets `permits` holders through at a time. A tenant may hold an eighth of what is left: however many a few tenants want,
 * some are left for the next. Those who wait are served by tenants in turn; their number is for the caller to bound.
 *
 * @see Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches (1998)
 */
export function createFairShares(options: { permits: number; clock: Clock; busyText: string }): FairShares {
  const { permits, clock, busyText } = options
  const held = new Map<string, number>()
  const queue = new Map<string, Set<() => void>>()
  let used = 0

  const isFree = (tenantId: string) => (held.get(tenantId) ?? 0) < (permits - used) * OF_THE_REST

  function take(tenantId: string): Release {
    used++
    held.set(tenantId, (held.get(tenantId) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      used--
      const left = (held.get(tenantId) ?? 1) - 1
      if (left > 0) held.set(tenantId, left)
      else held.delete(tenantId)
      serve()
    }
  }

  /** One that is put back at the end is met again in the same loop, which ends when nobody may take any more. */
  function serve(): void {
    for (const [tenantId, waiting] of queue) {
      if (!isFree(tenantId)) continue
      const next = waiting.values().next().value
      queue.delete(tenantId)
      if (waiting.size > 1) queue.set(tenantId, waiting)
      next?.()
    }
  }

  return {
    get used() {
      return used
    },
    acquire(tenantId, deadlineMs) {
      if (isFree(tenantId) && !queue.has(tenantId)) return Promise.resolve(take(tenantId))
      return new Promise((resolve, reject) => {
        const waiting = queue.get(tenantId) ?? new Set()
        queue.set(tenantId, waiting)
        const proceed = () => {
          waiting.delete(proceed)
          clearTimeout(timer)
          resolve(take(tenantId))
        }
        const expire = () => {
          waiting.delete(proceed)
          if (waiting.size === 0) queue.delete(tenantId)
          reject(new AppError('broker.busy', busyText, { retryAfterS: 1 }))
        }
        const timer = setTimeout(expire, Math.max(0, deadlineMs - clock.monotonic()))
        waiting.add(proceed)
      })
    },
  }
}
