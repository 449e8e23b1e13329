import { AppError } from '../core/errors.ts'
import type { Db, Queryable } from '../db/db.ts'
import type { Audit, AuditEvent } from './audit.ts'

/** What a change made, and the rows that say so. */
export interface Change<T> {
  result: T
  events: readonly AuditEvent[]
}

export type AuditedChange = <T>(work: (tx: Queryable) => Promise<Change<T>>) => Promise<T>

/**
 * Makes changes that leave a trace: the rows are committed as the last thing before the change itself is, so that nothing
 * changes without them. Should the commit of the change then fail, a second row with outcome `unknown` says so.
 *
 * `audit` must not need a connection of `db`: it is waited for while the change holds one.
 *
 * @throws {AppError} `audit.unavailable`, then nothing was changed; or, as its message says, that is not known
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

async function recordUnknown(audit: Audit, recorded: readonly AuditEvent[], cause: unknown): Promise<void> {
  try {
    await audit.record(...recorded.map((event) => ({ ...event, outcome: 'unknown' as const })))
  } catch (failure) {
    const both = new AggregateError([cause, failure])
    throw new AppError('audit.unavailable', 'Whether the change was made is not known.', { cause: both })
  }
}
