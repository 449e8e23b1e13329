import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { reserve, type Spacing } from './connect-pace.ts'

/** Answers before which time (monotonic clock) a tenant's next attempt at a broker that it has given up is not made. */
export type RetrySpacing = (tenantId: string) => number

/** Eight lost brokers are tried every four seconds each; those that let us wait for five take ten of the tenant's permits. */
const RETRIES: Spacing = { burst: 8, intervalMs: 500 }
const MAX_WAIT_MS = 45_000
const MAX_REMEMBERED = 10_000

/**
 * Spaces the attempts at lost brokers of each tenant: a few are tried every few seconds, a hundred of them two in a second
 * and each at least every 45 s, so that they leave room for the tenant's other connections. `random` is in [0, 1).
 */
export function createRetrySpacing({ clock, random }: { clock: Clock; random: () => number }): RetrySpacing {
  const due = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  return (tenantId) => {
    const nowMs = clock.monotonic()
    const { atMs, dueMs } = reserve(due.get(tenantId) ?? 0, nowMs, RETRIES)
    due.set(tenantId, Math.min(dueMs, nowMs + MAX_WAIT_MS))
    return atMs - nowMs < MAX_WAIT_MS / 2 ? atMs : nowMs + MAX_WAIT_MS * (0.5 + random() / 2)
  }
}
