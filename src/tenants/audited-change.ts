import type { Audit, AuditEvent } from '../audit/audit.ts'
import { AppError } from '../core/errors.ts'
import type { Db, Queryable } from '../db/db.ts'

/** What a change made, and the rows that say so. */
export interface Change<T> {
  result: T
  events: readonly AuditEvent[]
}

export type AuditedChange = <T>(work: (tx: Queryable) => Promise<Change<T>>) => Promise<T>

/**
 * Makes changes that leave a trace: the audit rows are committed as the last thing before the change itself is. Without
 * its rows nothing changes, and nobody hears of success before both are durable. Should the commit then fail, a second row
 * with outcome `unknown` says so.
 *
 * `audit` must not need a connection of `db`: it is waited for while the change holds one.
 */
export function createAuditedChange({ db, audit }: { db: Db; audit: Audit }): AuditedChange {
  return async (work) => {
    let recorded: readonly AuditEvent[] = []
    try {
      return await db.transaction(async (tx) => {
        const { result, events } = await work(tx)
        if (events.length > 0) await audit.record(...events)
        recorded = events
        return result
      })
    } catch (err) {
      if (recorded.length > 0) await recordUnknown(audit, recorded, err)
      throw err
    }
  }
}

async function recordUnknown(audit: Audit, recorded: readonly AuditEvent[], err: unknown): Promise<void> {
  try {
    await audit.record(...recorded.map((event) => ({ ...event, outcome: 'unknown' as const })))
  } catch (failure) {
    throw new AppError('audit.unavailable', 'Whether the change was made is not known.', {
      cause: new AggregateError([err, failure]),
    })
  }
}
