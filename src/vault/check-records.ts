import { toHex } from '../core/hex.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Db, Queryable } from '../db/db.ts'
import { holdEntries } from './entry-store.ts'
import { digestRecord, type RecordContext } from './record.ts'
import { pageOfRecords, type RecordRow } from './record-store.ts'

/** Returns the ids of the entries whose current record is not the one that their last write put on record. */
export type CheckRecords = (tenantId: string) => Promise<string[]>

const PAGE = 100

/**
 * Compares vault records with the audit log: what was put back in the database, entry and record together, opens, and only
 * this shows it. The log itself is believed; verify it as well.
 */
export function createCheckRecords(deps: {
  db: Db
  provider: Pick<CryptoProvider, 'sha384'>
  /** Which SHA-384 (hexadecimal) the current record of each entry may have, as the audit log says. */
  vaultWrites: (tenantId: string) => Promise<ReadonlyMap<string, readonly string[]>>
}): CheckRecords {
  const { db, provider, vaultWrites } = deps

  function digestOf(
    entry: Omit<RecordContext, 'schema' | 'custody'>,
    record: RecordRow | undefined,
  ): string | undefined {
    if (!record?.wrappedShare) return undefined
    const { schema, custody, wrappedShare } = record
    return toHex(digestRecord(provider, { ...entry, schema, custody }, { ...record, wrappedShare }))
  }

  async function mismatches(on: Queryable, tenantId: string, ids?: readonly string[]): Promise<string[]> {
    const writes = await vaultWrites(tenantId)
    const found: string[] = []
    let after: string | null = null
    for (;;) {
      const page = await pageOfRecords(on, tenantId, { after, limit: PAGE, ...(ids && { ids }) })
      for (const { entry, record } of page) {
        const digest = digestOf(entry, record)
        if (digest === undefined || !writes.get(entry.entryId)?.includes(digest)) found.push(entry.entryId)
      }
      const last = page.at(-1)
      if (!last) return found
      after = last.entry.entryId
    }
  }

  return async function checkRecords(tenantId) {
    const suspects = await mismatches(db, tenantId)
    if (suspects.length === 0) return []
    return db.transaction(async (tx) => {
      await holdEntries(tx, tenantId, suspects) // a write is on record shortly before it is committed
      return mismatches(tx, tenantId, suspects)
    })
  }
}
