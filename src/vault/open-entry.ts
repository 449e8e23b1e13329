import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import type { Queryable } from '../db/db.ts'
import { contextOf, entryNotFound } from './entry.ts'
import { isExpired, type StoredEntry } from './entry-store.ts'
import type { RecordKeeper } from './record-keeper.ts'
import { findCurrentRecord, type RecordRow } from './record-store.ts'
import { decodeValues } from './values.ts'

export interface FoundEntry {
  entry: StoredEntry
  record: RecordRow
}

export interface EntryOpener {
  /** @throws {AppError} `object.not_found` */
  find(tenantId: string, id: string): Promise<FoundEntry>
  /** The caller wipes the plaintext. @throws {AppError} `credential.expired`, `vault.unavailable`, `kms.unavailable` */
  plaintext(found: FoundEntry): Promise<Bytes>
  values(found: FoundEntry): Promise<Record<string, unknown>>
}

/** Finds the current version of an entry and opens it, unless it has expired. */
export function createEntryOpener(deps: {
  db: Queryable
  keeper: Pick<RecordKeeper, 'open'>
  clock: Pick<Clock, 'now'>
}): EntryOpener {
  const { db, keeper, clock } = deps
  const now = () => new Date(clock.now())

  async function plaintext({ entry, record }: FoundEntry): Promise<Bytes> {
    if (isExpired(entry, now())) {
      throw new AppError('credential.expired', 'The credential has expired: rotate it to new values.')
    }
    const { schema, custody } = record
    return keeper.open({ ...contextOf(entry), schema, custody }, record)
  }

  return {
    async find(tenantId, id) {
      const found = isUuid(id) ? await findCurrentRecord(db, tenantId, id, now()) : undefined
      if (!found) throw entryNotFound()
      return found
    },
    plaintext,
    async values(found) {
      const bytes = await plaintext(found)
      const values = decodeValues(bytes)
      wipe(bytes)
      return values
    },
  }
}
