import type { Clock } from '../core/clock.ts'
import { createConnectPace } from './connect-pace.ts'
import { createFairShares } from './fair-shares.ts'
import { createSemaphore, type Release, type Semaphore } from './semaphore.ts'

/** Connections being made at once: of the process, and of one tenant. */
const PERMITS = 128
const TENANT_PERMITS = 16
/** Of these, those at brokers which it has lost: they may let us wait for long, and others of its brokers may not. */
const TENANT_RETRIES = 10
/** Those of one tenant who may wait: it fills its own places, never the others'. */
const TENANT_WAITING = 256

export interface ConnectPermits {
  readonly used: number
  /**
   * A tenant's permit to make one connection; `isRetry`: at a broker that was not reached lately.
   *
   * @throws {AppError} `broker.busy` when none came free by `deadlineMs` (monotonic clock)
   */
  enter(tenantId: string, deadlineMs: number, isRetry: boolean): Promise<Release>
  /**
   * Waits until an attempt at an address may begin; whoever asks has entered.
   *
   * @throws {AppError} `broker.busy` when it may not by `deadlineMs` (monotonic clock)
   */
  begin(tenantId: string, address: string, deadlineMs: number): Promise<Release>
  /** As `begin`, for one who has begun and tries the next address. */
  next(tenantId: string, address: string, deadlineMs: number): Promise<void>
}

const busyText = 'Too many connections to brokers are being made.'

/** A semaphore for each tenant, while anybody holds it or waits for it. */
function createTenantShares(permits: number, clock: Clock) {
  const tenants = new Map<string, Semaphore>()

  function shareOf(tenantId: string): Semaphore {
    const known = tenants.get(tenantId)
    if (known) return known
    const share = createSemaphore({ permits, maxWaiting: TENANT_WAITING, clock, busyText })
    tenants.set(tenantId, share)
    return share
  }

  return async function enter(tenantId: string, deadlineMs: number): Promise<Release> {
    const share = shareOf(tenantId)
    const forget = () => {
      if (share.used === 0 && share.waiting === 0) tenants.delete(tenantId)
    }
    try {
      const release = await share.acquire(deadlineMs)
      return () => {
        release()
        forget()
      }
    } catch (err) {
      forget()
      throw err
    }
  }
}

/**
 * Limits how many connections are made at once and how many begin in a second, so that neither a restart of many brokers
 * nor one tenant takes all: wherever tenants wait for the same, they take turns.
 */
export function createConnectPermits(clock: Clock): ConnectPermits {
  const pace = createConnectPace(clock)
  const all = createFairShares({ permits: PERMITS, clock, busyText })
  const enterAny = createTenantShares(TENANT_PERMITS, clock)
  const enterRetry = createTenantShares(TENANT_RETRIES, clock)

  return {
    get used() {
      return all.used
    },
    async enter(tenantId, deadlineMs, isRetry) {
      if (!isRetry) return enterAny(tenantId, deadlineMs)
      const leaveRetries = await enterRetry(tenantId, deadlineMs)
      try {
        const leave = await enterAny(tenantId, deadlineMs)
        return () => {
          leave()
          leaveRetries()
        }
      } catch (err) {
        leaveRetries()
        throw err
      }
    },
    async begin(tenantId, address, deadlineMs) {
      await pace.atAddress(tenantId, address, deadlineMs)
      const release = await all.acquire(tenantId, deadlineMs)
      try {
        await pace.atAll(tenantId, deadlineMs)
        return release
      } catch (err) {
        release()
        throw err
      }
    },
    async next(tenantId, address, deadlineMs) {
      await pace.atAddress(tenantId, address, deadlineMs)
      await pace.atAll(tenantId, deadlineMs)
    },
  }
}
