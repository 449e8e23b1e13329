import type { Queryable } from '../db/db.ts'
import type { AuditRow } from './row.ts'

/** The last write of a vault entry on record, and the digests that its current record may have before and after it. */
interface LastWrite {
  requestId: string | null
  before: readonly string[]
  after: readonly string[]
}

const PAGE = 1000

/** Writes by which a job puts the same values at the same version under another key. */
const MOVES: readonly string[] = ['vault.reencrypt', 'vault.rewrap']

/** A move takes no digest away: killed between the row and the commit, a job leaves the record as it was. */
function afterMove(last: LastWrite, { detail }: AuditRow): LastWrite {
  const { previous_sha384: previous, record_sha384: written } = detail
  if (detail.current !== true || typeof previous !== 'string' || typeof written !== 'string') return last
  // Only what was as it should be: what was put back stays found, under whichever key.
  const added = (digests: readonly string[]) => (digests.includes(previous) ? [...digests, written] : digests)
  return { ...last, before: added(last.before), after: added(last.after) }
}

/** A write that is on record twice, the second time as unknown, was made or was not. */
function afterWrite(last: LastWrite | undefined, row: AuditRow): LastWrite {
  const { request_id: requestId, outcome, detail } = row
  const written = typeof detail.record_sha384 === 'string' ? [detail.record_sha384] : []
  const known = last?.after ?? []
  if (MOVES.includes(row.action)) return afterMove(last ?? { requestId: null, before: [], after: [] }, row)
  if (outcome === 'success') return { requestId, before: known, after: written }
  const before = last?.requestId === requestId ? last.before : known
  return { requestId, before, after: [...before, ...written] }
}

/**
 * Reads which SHA-384 (hexadecimal) the current record of each vault entry of a tenant may have: that of its last write,
 * none after a deletion, and the one before as well where nobody knows whether the last write was made. Moves to other keys
 * since then may be made or not.
 */
export async function readVaultWrites(
  db: Queryable,
  tenantId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const writes = new Map<string, LastWrite>()
  let after = '0'
  for (;;) {
    const { rows } = await db.query<{ seq: string; row_bytes: Buffer }>(
      `select seq, row_bytes from audit_rows
       where tenant_id = $1 and seq > $2 and action in ('vault.seal', 'vault.rotate', 'vault.delete', 'vault.reencrypt', 'vault.rewrap')
       order by seq limit $3`,
      [tenantId, after, PAGE],
    )
    for (const { row_bytes: bytes } of rows) {
      const row = JSON.parse(bytes.toString('utf8')) as AuditRow
      if (row.object) writes.set(row.object.id, afterWrite(writes.get(row.object.id), row))
    }
    const last = rows.at(-1)
    if (!last) return new Map([...writes].map(([id, write]) => [id, write.after]))
    after = last.seq
  }
}
