import { LRUCache } from 'lru-cache'
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible'
import type { Db } from '../../db/db.ts'
import { type CreateLimiter, createMemoryLimiter, type Limiter } from './quotas.ts'
import { WINDOW_S } from './rate-limit-headers.ts'

/** Units that a process takes from the database at once, and then gives out itself. */
interface Lease {
  left: number
  readonly untilMs: number
  /** What the database said last. */
  readonly res: RateLimiterRes
  readonly isSpent: boolean
  /** Of a spent one: whether a request has been refused already. */
  hasRefused: boolean
}

export interface SharedQuotasDeps {
  readonly db: Pick<Db, 'query'>
  readonly monotonic: () => number
  /** Told when the database did not count, and this process counts alone. */
  readonly countsAlone: (err: unknown) => void
}

/** Parts of a quota that are leased at once: so many statements a window for a key at its quota, and no more. */
const PARTS = 20
/** Milliseconds that the database gets; requests wait for it. */
const STORE_TIMEOUT_MS = 250
/** Milliseconds that this process counts alone after the database did not answer. */
const ALONE_MS = 1_000
const MAX_KEYS = 20_000

/**
 * Quotas that hold across replicas, counted in PostgreSQL. A process leases a twentieth of a quota at a time, so that a
 * request rarely costs a statement; what it does not use is lost with the window, so a tenant on n replicas may get up to n
 * twentieths less. While the database does not answer, each process holds its tenants to the whole quota by itself: neither
 * closed, nor open.
 */
export function createSharedLimiters({ db, monotonic, countsAlone }: SharedQuotasDeps): CreateLimiter {
  const storeClient = {
    query: ({ name, text, values }: { name?: string; text: string; values: readonly unknown[] }) =>
      db.query(text, values, name === undefined ? {} : { prepareAs: name }),
  }
  let aloneUntilMs = Number.NEGATIVE_INFINITY

  return (name, quota): Limiter => {
    const store = new RateLimiterPostgres({
      storeClient,
      storeType: 'client',
      tableName: 'rate_limits',
      tableCreated: true, // by a migration
      keyPrefix: `${name}${quota}`,
      points: quota,
      duration: WINDOW_S,
    })
    const alone = createMemoryLimiter(name, quota)
    const chunk = Math.ceil(quota / PARTS)
    const leases = new LRUCache<string, Lease>({ max: MAX_KEYS })
    const coming = new Map<string, Promise<void>>()

    async function count(key: string, units: number): Promise<RateLimiterRes> {
      if (monotonic() < aloneUntilMs) return alone.consume(key, units)
      const timeout = Promise.withResolvers<never>()
      const timer = setTimeout(() => timeout.reject(new Error('The quota store does not answer.')), STORE_TIMEOUT_MS)
      try {
        return await Promise.race([store.consume(key, units), timeout.promise])
      } catch (err) {
        if (err instanceof RateLimiterRes) throw err
        aloneUntilMs = monotonic() + ALONE_MS
        countsAlone(err)
        return await alone.consume(key, units)
      } finally {
        clearTimeout(timer)
      }
    }

    async function refill(key: string, units: number): Promise<void> {
      let isSpent = false
      const res = await count(key, units).catch((beyond: unknown) => {
        if (!(beyond instanceof RateLimiterRes)) throw beyond
        isSpent = true
        return beyond
      })
      const left = isSpent ? 0 : units
      leases.set(key, { left, untilMs: monotonic() + res.msBeforeNext, res, isSpent, hasRefused: false })
    }

    async function consume(key: string, units: number): Promise<RateLimiterRes> {
      for (;;) {
        const lease = leases.get(key)
        if (lease && monotonic() < lease.untilMs) {
          const { res } = lease
          const msBeforeNext = lease.untilMs - monotonic()
          if (lease.isSpent) {
            const before = lease.hasRefused ? 1 : 0 // units beyond the quota: only the first refusal crossed it
            lease.hasRefused = true
            throw new RateLimiterRes(0, msBeforeNext, quota + before + units)
          }
          if (lease.left >= units) {
            lease.left -= units
            return new RateLimiterRes(res.remainingPoints + lease.left, msBeforeNext, res.consumedPoints - lease.left)
          }
        }
        const work = coming.get(key) ?? refill(key, Math.max(units, chunk)).finally(() => coming.delete(key))
        coming.set(key, work)
        await work
      }
    }
    return { consume }
  }
}
