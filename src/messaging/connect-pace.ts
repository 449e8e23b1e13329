import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'

/** At most `burst` at once, then one each `intervalMs`: in any second at most `burst + 1000 / intervalMs`. */
export interface Spacing {
  readonly burst: number
  readonly intervalMs: number
}

/**
 * Gives the time at which the next one may begin, and the state to keep (0 at first). Pure.
 *
 * @see ITU-T I.371 §A.1, the generic cell rate algorithm in its form of virtual scheduling
 */
export function reserve(dueMs: number, nowMs: number, { burst, intervalMs }: Spacing): { atMs: number; dueMs: number } {
  const fromMs = Math.max(dueMs, nowMs)
  return { atMs: Math.max(nowMs, fromMs - (burst - 1) * intervalMs), dueMs: fromMs + intervalMs }
}

/** All attempts of the process: at most 42 in any second. */
const ALL: Spacing = { burst: 5, intervalMs: 27 }
/** Those at one address, so that a broker which everybody lost leaves room for the others: at most 36 in any second. */
const ADDRESS: Spacing = { burst: 5, intervalMs: 32 }
const MAX_REMEMBERED = 10_000

interface Waiter {
  readonly deadlineMs: number
  readonly begin: () => void
  readonly refuse: (err: AppError) => void
}

function busy(): AppError {
  return new AppError('broker.busy', 'Too many connections to brokers are being made.', { retryAfterS: 1 })
}

/**
 * A line in which tenants take turns, whatever each of them has waiting, and nobody is let through before its time as the
 * clock says then: after a stall there is no rush.
 */
function createLine(spacing: Spacing, clock: Clock) {
  /** By tenant, the one whose turn is next before the others. */
  const queue = new Map<string, Waiter[]>()
  let dueMs = 0

  function isTurn(nowMs: number): boolean {
    const reserved = reserve(dueMs, nowMs, spacing)
    if (reserved.atMs > nowMs) return false
    dueMs = reserved.dueMs
    return true
  }

  function advance(): void {
    // One that is put back at the end is met again in the same loop.
    for (const [tenantId, waiting] of queue) {
      const nowMs = clock.monotonic()
      for (let late = waiting[0]; late && late.deadlineMs < nowMs; late = waiting[0]) {
        late.refuse(busy())
        waiting.shift()
      }
      if (waiting.length > 0) {
        if (!isTurn(nowMs)) break
        waiting.shift()?.begin()
      }
      queue.delete(tenantId)
      if (waiting.length > 0) queue.set(tenantId, waiting)
    }
    if (queue.size > 0) setTimeout(advance, Math.max(1, Math.ceil(reserve(dueMs, 0, spacing).atMs - clock.monotonic())))
  }

  return function wait(tenantId: string, deadlineMs: number): Promise<void> {
    const nowMs = clock.monotonic()
    if (queue.size === 0 && isTurn(nowMs)) return Promise.resolve()
    const own = queue.get(tenantId)
    const place = (own?.length ?? 0) + 1
    let ahead = 0 // of each other tenant as many as have their turn before this one's
    for (const { length } of queue.values()) ahead += Math.min(length, place)
    if (reserve(dueMs, nowMs, spacing).atMs + ahead * spacing.intervalMs > deadlineMs) return Promise.reject(busy())
    return new Promise((begin, refuse) => {
      const isFirst = queue.size === 0
      if (own) own.push({ deadlineMs, begin, refuse })
      else queue.set(tenantId, [{ deadlineMs, begin, refuse }])
      if (isFirst) advance()
    })
  }
}

export interface ConnectPace {
  /**
   * Waits for the turn of an attempt at an address, for each tenant in the order of asking; a lone one does not wait. It is a
   * line for all tenants, and takes no notice of how attempts ended: what a tenant can learn from its waiting is that this
   * process makes many connections to that address, and neither whose they are nor whether they are answered.
   *
   * @throws {AppError} `broker.busy` when the turn would come after `deadlineMs` (monotonic clock); it is given up then
   */
  atAddress(tenantId: string, address: string, deadlineMs: number): Promise<void>
  /** As `atAddress`, for all attempts together. */
  atAll(tenantId: string, deadlineMs: number): Promise<void>
}

/** Spaces the attempts to connect, so that a restart of many brokers is not answered by a storm. */
export function createConnectPace(clock: Clock): ConnectPace {
  const addresses = new LRUCache<string, ReturnType<typeof createLine>>({ max: MAX_REMEMBERED })
  const all = createLine(ALL, clock)
  return {
    atAddress(tenantId, address, deadlineMs) {
      const known = addresses.get(address)
      const line = known ?? createLine(ADDRESS, clock)
      if (!known) addresses.set(address, line)
      return line(tenantId, deadlineMs)
    },
    atAll: all,
  }
}
