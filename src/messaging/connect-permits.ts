import type { Clock } from '../core/clock.ts'
import { createSemaphore, type Release, type Semaphore } from './semaphore.ts'

/** Connections being made at once: of the process, and of one tenant. */
const PERMITS = 16
const TENANT_PERMITS = 4
/** Those who may wait: a tenant fills its own places, never the others'. */
const WAITING = 1_024
const TENANT_WAITING = 128

export interface ConnectPermits {
  readonly used: number
  /** @throws {AppError} `broker.busy` when none came free by `deadlineMs` (monotonic clock) */
  acquire(tenantId: string, deadlineMs: number): Promise<Release>
}

/** Limits how many connections are made at once, so that neither a restart of many brokers nor one tenant takes all. */
export function createConnectPermits(clock: Clock): ConnectPermits {
  const text = 'Too many connections to brokers are being made.'
  const all = createSemaphore({ permits: PERMITS, maxWaiting: WAITING, clock, busyText: text })
  const tenants = new Map<string, Semaphore>()

  function shareOf(tenantId: string): Semaphore {
    const known = tenants.get(tenantId)
    if (known) return known
    const share = createSemaphore({ permits: TENANT_PERMITS, maxWaiting: TENANT_WAITING, clock, busyText: text })
    tenants.set(tenantId, share)
    return share
  }

  return {
    get used() {
      return all.used
    },
    async acquire(tenantId, deadlineMs) {
      const share = shareOf(tenantId)
      const leave = () => {
        if (share.used === 0 && share.waiting === 0) tenants.delete(tenantId)
      }
      const own = await share.acquire(deadlineMs).catch((err: unknown) => {
        leave()
        throw err
      })
      try {
        const common = await all.acquire(deadlineMs)
        return () => {
          common()
          own()
          leave()
        }
      } catch (err) {
        own()
        leave()
        throw err
      }
    },
  }
}
