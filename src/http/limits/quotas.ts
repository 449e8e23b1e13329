import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { systemClock } from '../../core/clock.ts'
import { createPace } from './pace.ts'
import { type QuotaState, type QuotaValues, WINDOW_S } from './rate-limit-headers.ts'

/** Counts units by key in a window. Resolves within its quota, and rejects with the same facts beyond it. */
export interface Limiter {
  consume(key: string, units: number): Promise<RateLimiterRes>
}

/** Makes the limiter of one quota; asked once for each `name` and quota. */
export type CreateLimiter = (name: 'key' | 'tenant', quota: number) => Limiter

/** Whose quotas a request takes from. */
export interface Consumer {
  readonly tenantId: string
  readonly keyId: string
  /** What the operator gave this tenant, in units per second; absent: the default. */
  readonly rateLimit?: number | undefined
}

export interface Consumed {
  readonly isWithin: boolean
  /** Beyond the quota: whether this request is the one that crossed it. */
  readonly isFirst: boolean
  /** Beyond the quota: milliseconds for which whatever else is asked is refused as well. */
  readonly endsMs: number
  readonly quotas: QuotaValues
  /** Of the quotas that were asked, the one that refuses last. */
  readonly states: readonly QuotaState[]
}

/** Quotas in cost units, of API keys and of tenants. */
export interface Quotas {
  consume(consumer: Consumer, units: number): Promise<Consumed>
}

export const createMemoryLimiter: CreateLimiter = (_name, quota) =>
  new RateLimiterMemory({ keyPrefix: '', points: quota, duration: WINDOW_S })

/** Creates the quotas. A quota that the operator gave one tenant counts for its keys as well. */
export function createQuotas(
  defaults: QuotaValues,
  createLimiter: CreateLimiter,
  monotonic: () => number = systemClock.monotonic,
): Quotas {
  const pace = createPace(monotonic)
  /** As many as operators have given different quotas. */
  const limiters = new Map<string, Limiter>()

  function limiterOf(name: 'key' | 'tenant', quota: number): Limiter {
    const id = name + quota
    const known = limiters.get(id)
    if (known) return known
    const made = createLimiter(name, quota)
    limiters.set(id, made)
    return made
  }

  async function take(name: 'key' | 'tenant', quota: number, key: string, units: number) {
    const paced = pace.ask(key, quota, units)
    if (paced.waitMs > 0) {
      const state = { name, left: 0, resetS: Math.ceil(paced.waitMs / 1000) }
      return { isWithin: false, isFirst: paced.isFirst, endsMs: paced.oneInMs, state }
    }
    let isWithin = true
    const res = await limiterOf(name, quota)
      .consume(key, units)
      .catch((beyond: unknown) => {
        if (beyond instanceof Error) throw beyond
        isWithin = false
        return beyond as RateLimiterRes
      })
    if (!isWithin) pace.usedUp(key, res.msBeforeNext)
    const isFirst = !isWithin && res.consumedPoints - units <= quota
    const resetS = Math.max(1, Math.ceil(res.msBeforeNext / 1000))
    return { isWithin, isFirst, endsMs: res.msBeforeNext, state: { name, left: res.remainingPoints, resetS } }
  }

  return {
    async consume({ tenantId, keyId, rateLimit }, units) {
      const quotas = rateLimit === undefined ? defaults : { key: rateLimit, tenant: rateLimit }
      const { state: ofKey, ...key } = await take('key', quotas.key, keyId, units)
      if (!key.isWithin) return { ...key, quotas, states: [ofKey] }
      const { state: ofTenant, ...tenant } = await take('tenant', quotas.tenant, tenantId, units)
      return { ...tenant, quotas, states: [ofKey, ofTenant] }
    },
  }
}
