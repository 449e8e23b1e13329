import type { Caller } from '../audit/audit.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import type { Queryable } from '../db/db.ts'
import { type CustodyShare, createShareAttempts, shareRequired, shareUnexpected } from './custody.ts'
import { contextOf, entryNotFound } from './entry.ts'
import { isExpired, type StoredEntry } from './entry-store.ts'
import type { RecordKeeper } from './record-keeper.ts'
import { findCurrentRecord, type RecordRow } from './record-store.ts'
import { vaultTopicKey } from './share-cache.ts'
import { decodeMembers, decodeValues } from './values.ts'

export interface FoundEntry {
  entry: StoredEntry
  record: RecordRow
}

export interface EntryOpener {
  /** @throws {AppError} `object.not_found` */
  find(tenantId: string, id: string): Promise<FoundEntry>
  /**
   * Opens an entry with a share that `by` brought and that may be wrong; the plaintext is to be wiped.
   *
   * @throws {AppError} `custody.required`, `request.invalid` for a share that the entry has no use for, `rate.limited` after
   * too many wrong ones, `custody.rejected` for a wrong one and for a changed record alike; `credential.expired` unless
   * `evenExpired`; `vault.unavailable`, `kms.unavailable`
   */
  plaintext(found: FoundEntry, by: Caller, share?: CustodyShare, options?: { evenExpired?: boolean }): Promise<Bytes>
  /** As `plaintext`, read. */
  values(found: FoundEntry, by: Caller, share?: CustodyShare): Promise<Record<string, unknown>>
  /** As `values`, with a share that has opened the entry before: not counted with the wrong ones. */
  valuesByHeldShare(found: FoundEntry, share?: CustodyShare): Promise<Record<string, unknown>>
  /** Some members only, of an entry that opens without a share; of the others no text is made. */
  members(found: FoundEntry, names: ReadonlySet<string>): Promise<Record<string, unknown>>
}

function read(bytes: Bytes): Record<string, unknown> {
  const values = decodeValues(bytes)
  wipe(bytes)
  return values
}

/** Finds the current version of an entry and opens it, unless it has expired. */
export function createEntryOpener(deps: {
  db: Queryable
  keeper: Pick<RecordKeeper, 'open'>
  clock: Clock
}): EntryOpener {
  const { db, keeper, clock } = deps
  const now = () => new Date(clock.now())

  const attempts = createShareAttempts({ clock })

  function assertOpenable({ entry, record }: FoundEntry, share: CustodyShare | undefined, evenExpired: boolean): void {
    if (!evenExpired && isExpired(entry, now())) {
      throw new AppError('credential.expired', 'The credential has expired: rotate it to new values.')
    }
    if (record.custody === 1 && !share) throw shareRequired()
    if (record.custody === 0 && share) throw shareUnexpected()
  }

  function open({ entry, record }: FoundEntry, share: CustodyShare | undefined): Promise<Bytes> {
    const { schema, custody } = record
    return keeper.open({ ...contextOf(entry), schema, custody }, record, share)
  }

  async function plaintext(
    found: FoundEntry,
    by: Caller,
    share?: CustodyShare,
    { evenExpired = false }: { evenExpired?: boolean } = {},
  ): Promise<Bytes> {
    assertOpenable(found, share, evenExpired)
    if (!share) return open(found, share)
    return attempts.run(vaultTopicKey(found.entry.tenantId, found.entry.id), by, () => open(found, share))
  }

  return {
    async find(tenantId, id) {
      const found = isUuid(id) ? await findCurrentRecord(db, tenantId, id, now()) : undefined
      if (!found) throw entryNotFound()
      return found
    },
    plaintext,
    values: async (found, by, share) => read(await plaintext(found, by, share)),
    async valuesByHeldShare(found, share) {
      assertOpenable(found, share, false)
      return read(await open(found, share))
    },
    async members(found, names) {
      assertOpenable(found, undefined, false)
      const bytes = await open(found, undefined)
      try {
        return decodeMembers(bytes, names)
      } finally {
        wipe(bytes)
      }
    },
  }
}
