import type { Bytes } from '../core/bytes.ts'
import type { Queryable } from '../db/db.ts'
import { createRecordArray } from '../db/record-array.ts'
import { type AuditRow, epochMicroseconds } from './row.ts'

/** The end of a tenant's chain, as its head row has it. */
export interface Head {
  seq: number
  hash: Bytes
  mac: Uint8Array
}

export interface MovedHead {
  tenantId: string
  before: Head
  after: Head
}

export interface ChainedRow {
  row: AuditRow
  atMs: number
  bytes: Uint8Array
  prevHash: Bytes
  hash: Bytes
}

/** Rows of usual length need no second buffer. */
const ROW_BYTES_HINT = 1536
const HEAD_BYTES_HINT = 512

/** One statement for any number of rows, and their heads. Nothing is written unless all heads stand where they are said to. */
const APPEND = `
with moved as (
  select * from unnest($1::audit_moved_head[])
), standing as (
  select h.tenant_id from audit_heads h join moved m using (tenant_id)
  where h.seq = m.old_seq and h.mac = m.old_mac and h.mac_key_id = $3
  order by h.tenant_id collate "C" for update of h
), verdict as (
  select count(*) = (select count(*) from moved) as stands from standing
), added as (
  insert into audit_rows (tenant_id, seq, id, at, action, outcome, actor_id, object_id, request_id, message_id,
                          row_bytes, prev_hash, hash)
  select r.* from unnest($2::audit_new_row[]) as r, verdict where verdict.stands
)
update audit_heads h set seq = m.seq, hash = m.hash, mac = m.mac, mac_key_id = $3
from moved m, verdict
where verdict.stands and h.tenant_id = m.tenant_id`

/** Writes rows and moves heads, all or nothing; `false` when a head is not where it was believed to be. */
export async function appendRows(
  db: Queryable,
  { rows, moved, headKeyId }: { rows: readonly ChainedRow[]; moved: readonly MovedHead[]; headKeyId: string },
): Promise<boolean> {
  const values = [headsOf(moved), rowsOf(rows), headKeyId]
  const { rowCount } = await db.query(APPEND, values, { prepareAs: 'audit-append' })
  return rowCount === moved.length
}

function headsOf(moved: readonly MovedHead[]): Buffer {
  const array = createRecordArray(6, moved.length * HEAD_BYTES_HINT)
  for (const { tenantId, before, after } of moved) {
    array.begin()
    array.text(tenantId)
    array.bigint(before.seq)
    array.bytea(before.mac)
    array.bigint(after.seq)
    array.bytea(after.hash)
    array.bytea(after.mac)
  }
  return array.end()
}

function rowsOf(rows: readonly ChainedRow[]): Buffer {
  const array = createRecordArray(13, rows.length * ROW_BYTES_HINT)
  for (const { row, atMs, bytes, prevHash, hash } of rows) {
    array.begin()
    array.text(row.tenant_id)
    array.bigint(row.seq)
    array.text(row.id)
    array.timestamptz(epochMicroseconds(atMs))
    array.text(row.action)
    array.text(row.outcome)
    array.text(row.actor.id)
    array.text(row.object === null ? null : row.object.id)
    array.text(row.request_id)
    array.text(row.message_id)
    array.bytea(bytes)
    array.bytea(prevHash)
    array.bytea(hash)
  }
  return array.end()
}
