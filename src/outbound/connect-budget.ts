import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'

export interface ConnectBudget {
  /**
   * Counts an attempt at a destination of a tenant, and says whether it cost anything: not where a broker has let this tenant
   * in before, nor where it was counted within the last minute.
   *
   * @throws {AppError} `rate.limited` when the tenant has tried too many others
   */
  spend(tenantId: string, destination: string): boolean
  /** Counts one that is paid for already, as the address of a name. */
  cover(tenantId: string, destination: string): void
  /** A broker has let us in there: what was counted is given back. */
  proven(tenantId: string, destination: string): void
}

/** Destinations at which no broker let a tenant in: so many at once, and so many again in each minute. */
const FAILED_PER_MINUTE = 30
const MINUTE_MS = 60_000
const MAX_REMEMBERED = 20_000

interface Bucket {
  tokens: number
  filledMs: number
}

/**
 * Bounds how many addresses and ports a tenant can try out, so that nobody finds out through us which ones answer. A tenant
 * whose brokers let it in never notices, however many they are.
 */
export function createConnectBudget(clock: Clock): ConnectBudget {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_REMEMBERED })
  const proven = new LRUCache<string, true>({ max: MAX_REMEMBERED })
  const counted = new LRUCache<string, { atMs: number; cost: 0 | 1 }>({ max: MAX_REMEMBERED })

  function bucketOf(tenantId: string): Bucket {
    const nowMs = clock.monotonic()
    const bucket = buckets.get(tenantId) ?? { tokens: FAILED_PER_MINUTE, filledMs: nowMs }
    const gained = ((nowMs - bucket.filledMs) * FAILED_PER_MINUTE) / MINUTE_MS
    bucket.tokens = Math.min(FAILED_PER_MINUTE, bucket.tokens + gained)
    bucket.filledMs = nowMs
    buckets.set(tenantId, bucket)
    return bucket
  }

  const keyOf = (tenantId: string, destination: string) => `${tenantId} ${destination}`

  function isFree(key: string): boolean {
    return (
      proven.get(key) === true || clock.monotonic() - (counted.get(key)?.atMs ?? Number.NEGATIVE_INFINITY) < MINUTE_MS
    )
  }

  return {
    spend(tenantId, destination) {
      const key = keyOf(tenantId, destination)
      if (isFree(key)) return false
      const bucket = bucketOf(tenantId)
      if (bucket.tokens < 1) {
        const waitMs = ((1 - bucket.tokens) * MINUTE_MS) / FAILED_PER_MINUTE
        throw new AppError(
          'rate.limited',
          `Too many destinations at which no broker let this tenant in: ${FAILED_PER_MINUTE} new ones a minute can be tried.`,
          { retryAfterS: Math.max(1, Math.ceil(waitMs / 1000)) },
        )
      }
      bucket.tokens--
      counted.set(key, { atMs: clock.monotonic(), cost: 1 })
      return true
    },
    cover(tenantId, destination) {
      const key = keyOf(tenantId, destination)
      if (!isFree(key)) counted.set(key, { atMs: clock.monotonic(), cost: 0 })
    },
    proven(tenantId, destination) {
      const key = keyOf(tenantId, destination)
      proven.set(key, true)
      const cost = counted.get(key)?.cost ?? 0
      counted.delete(key)
      if (cost === 0) return
      const bucket = bucketOf(tenantId)
      bucket.tokens = Math.min(FAILED_PER_MINUTE, bucket.tokens + cost)
    },
  }
}
