import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { createFairShare } from '../core/fair-share.ts'
import { NO_TENANT, newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Db } from '../db/db.ts'
import { assertKnownEvent } from './actions.ts'
import type { Audit } from './audit.ts'
import { createChainStore, type HeadKey, type PendingRow } from './chain-store.ts'

export interface AuditLimits {
  /** Rows that may wait, those of the flush in flight included. */
  maxQueuedRows: number
  maxFlushRows: number
  /** From `record` to its answer, whatever the database does. */
  timeoutMs: number
}

export interface AuditLogDeps {
  /** Best one of its own: a use case may record while it holds a connection, and must not wait for itself. */
  db: Db
  provider: Pick<CryptoProvider, 'sha3_256'>
  headKey: HeadKey
  clock: Clock
  limits?: Partial<AuditLimits>
}

export interface AuditLog extends Audit {
  /** Commits what waits, refuses what comes. */
  close(): Promise<void>
}

interface Job {
  /** Whose share of the queue it takes. */
  readonly tenantId: string
  readonly rows: readonly PendingRow[]
  readonly expiresMs: number
  resolve(): void
  reject(err: AppError): void
}

/** Rows that may wait for a tenant whatever others have recorded. */
const FLOOR_ROWS = 256
/** Part of a flush that one tenant gets before all others had their turn. */
const OF_A_FLUSH = 1 / 4

function unavailable(reason: string, cause?: unknown): AppError {
  return new AppError('audit.unavailable', 'The audit log is not available.', {
    cause: cause ?? new Error(reason),
    retryAfterS: 1,
  })
}

/**
 * Writes audit rows with group commit: one flush is in flight, and what arrives meanwhile goes with the next one, so that
 * many requests share a commit. A failed flush fails those who wait for it and nobody else; nothing is tried again. Queue and
 * flushes are shared among tenants: one that records all it can neither fills the one, nor is always first in the other.
 */
export function createAuditLog({ db, provider, headKey, clock, limits: given }: AuditLogDeps): AuditLog {
  const limits: AuditLimits = { maxQueuedRows: 8192, maxFlushRows: 1024, timeoutMs: 2000, ...given }
  const store = createChainStore({ db, provider, headKey })
  /** In the order of their arrival, which is that of their expiry. */
  const queue = new Set<Job>()
  let inFlight: readonly Job[] = []
  /** Rows that wait, those of the flush in flight included. */
  const queued = createFairShare({
    most: () => limits.maxQueuedRows,
    shared: () => limits.maxQueuedRows,
    floor: FLOOR_ROWS,
  })
  let draining: Promise<void> | undefined
  let closed = false
  let timer: NodeJS.Timeout | undefined

  /** One timer for all jobs: it goes off for the oldest of when it was set, and is set again for what is the oldest then. */
  function watch(): void {
    const [oldest] = inFlight.length > 0 ? inFlight : queue
    timer = oldest && setTimeout(expire, Math.max(1, oldest.expiresMs - performance.now()))
  }

  function expire(): void {
    const nowMs = performance.now() // as the timer counts, also under another clock
    const isLate = (job: Job) => job.expiresMs <= nowMs
    const late = [...queue].filter(isLate)
    for (const job of [...inFlight.filter(isLate), ...late]) {
      job.reject(unavailable(`not committed within ${limits.timeoutMs} ms`))
    }
    inFlight = inFlight.filter((job) => !isLate(job)) // its rows are counted until the flush ends
    for (const job of late) {
      queue.delete(job)
      queued.give(job.tenantId, job.rows.length)
    }
    watch()
  }

  /** Takes what goes together: of each tenant some in the order of arrival, then of all while there is room. */
  function takeBatch(): Job[] {
    const batch: Job[] = []
    let rows = 0
    const take = (job: Job): boolean => {
      if (batch.length > 0 && rows + job.rows.length > limits.maxFlushRows) return false
      batch.push(job)
      queue.delete(job)
      rows += job.rows.length
      return true
    }
    const left = new Map<string, number>()
    for (const job of queue) {
      const own = left.get(job.tenantId) ?? limits.maxFlushRows * OF_A_FLUSH
      left.set(job.tenantId, own - job.rows.length) // used up for good: a tenant's own rows stay in their order
      if (own > 0 && !take(job)) break
    }
    for (const job of queue) if (!take(job)) break
    return batch
  }

  async function flush(batch: readonly Job[]): Promise<void> {
    try {
      const refused = await store.append(batch.flatMap((job) => job.rows))
      for (const job of batch) {
        const tenantId = job.rows.find(({ event }) => refused.has(event.tenantId))?.event.tenantId
        if (tenantId === undefined) job.resolve()
        else job.reject(unavailable(`the head of ${tenantId} is missing, altered or has gone back`))
      }
    } catch (err) {
      for (const job of batch) job.reject(unavailable('flush failed', err))
    } finally {
      for (const { tenantId, rows } of batch) queued.give(tenantId, rows.length)
    }
  }

  async function drain(): Promise<void> {
    await nextTurn() // everything that this turn of the loop still brings shares the first commit
    while (queue.size > 0) {
      const batch = takeBatch()
      inFlight = batch
      await flush(batch)
      inFlight = []
    }
    clearTimeout(timer)
    timer = undefined
    draining = undefined
  }

  function enqueue(tenantId: string, rows: readonly PendingRow[]): Promise<void> {
    return new Promise((resolve, reject) => {
      queue.add({ tenantId, rows, expiresMs: performance.now() + limits.timeoutMs, resolve, reject })
      if (timer === undefined) watch()
      draining ??= drain()
    })
  }

  return {
    async record(...events) {
      if (events.length === 0) return
      for (const event of events) assertKnownEvent(event)
      if (closed) throw unavailable('closed')
      const { tenantId = NO_TENANT } = events[0] ?? {}
      if (!queued.take(tenantId, events.length)) throw unavailable('too many rows are waiting')
      const atMs = clock.now()
      await enqueue(
        tenantId,
        events.map((event) => ({ id: newId('aud', atMs), atMs, event })),
      )
    },

    async close() {
      closed = true
      await draining
    },
  }
}
