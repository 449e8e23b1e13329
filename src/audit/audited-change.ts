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
 * changes without them. Should the change then not be committed, or a slow log still write what it was no longer waited
 * for, a second row with outcome `unknown` says so.
 *
 * `audit` must not need a connection of `db`: it is waited for while the change holds one.
 *
 * @throws {AppError} `audit.unavailable` when nothing was changed; `outcome.unknown` when the database did not answer the
 * commit
 */
export function createAuditedChange({ db, audit }: { db: Db; audit: Audit }): AuditedChange {
  return async (work) => {
    let events: readonly AuditEvent[] = []
    let committing = false
    try {
      return await db.transaction(async (tx) => {
        const change = await work(tx)
        events = change.events // before the rows are waited for: what times out may still be written
        if (events.length > 0) await audit.record(...events)
        committing = true
        return change.result
      })
    } catch (err) {
      if (events.length === 0) throw err
      const cause = await causeAfterUnknown(audit, events, err)
      if (committing && err instanceof AppError && err.code === 'database.unavailable') {
        throw new AppError('outcome.unknown', 'Whether the change was made is not known.', { cause })
      }
      if (cause === err) throw err
      throw new AppError('audit.unavailable', 'Nothing was changed, but the audit log may say that it was.', {
        cause,
        retryAfterS: 1,
      })
    }
  }
}

/** Records the same events as unknown; returns why the change failed, together with why that failed, if it did. */
async function causeAfterUnknown(audit: Audit, events: readonly AuditEvent[], err: unknown): Promise<unknown> {
  try {
    await audit.record(...events.map((event) => ({ ...event, outcome: 'unknown' as const })))
    return err
  } catch (failure) {
    return new AggregateError([err, failure])
  }
}
