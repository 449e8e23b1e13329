import { type Bytes, copyBytes, equalBytes } from '../core/bytes.ts'
import type { CryptoProvider, MacKey } from '../crypto/provider.ts'
import type { Db, Queryable } from '../db/db.ts'
import { correlationOf, intentOf, isIntent } from './actions.ts'
import type { AuditEvent } from './audit.ts'
import { type AuditRow, encodeRow, GENESIS_HASH, headMac, rowHash, rowOf } from './row.ts'

/** The key that authenticates heads; its id stands in every head row. */
export interface HeadKey {
  readonly id: string
  readonly mac: MacKey
}

export interface PendingRow {
  readonly id: string
  readonly atMs: number
  readonly event: AuditEvent
}

interface Head {
  seq: number
  hash: Bytes
}

interface ChainedRow {
  row: AuditRow
  bytes: Bytes
  prevHash: Bytes
  hash: Bytes
}

/** How long an intent may stay open when it names no deadline of its own, and how long after the deadline it is closed. */
const DEFAULT_DEADLINE_MS = 30_000
const GRACE_MS = 60_000
const MAX_KNOWN_TENANTS = 10_000

/**
 * Appends rows to the chains of their tenants, in one transaction under the locks of their heads.
 *
 * A head is extended only when its MAC verifies and it has not gone back since this process last wrote it: otherwise the
 * next row would put our own MAC on what somebody else wrote there.
 */
export function createChainStore(deps: { db: Db; provider: Pick<CryptoProvider, 'sha3_256'>; headKey: HeadKey }) {
  const { db, provider, headKey } = deps
  /** Tenants that certainly have a head, with the place this process last saw; the oldest is forgotten first. */
  const known = new Map<string, number>()

  function remember(tenantId: string, seq: number): void {
    known.delete(tenantId)
    known.set(tenantId, seq)
    const oldest = known.keys().next()
    if (known.size > MAX_KNOWN_TENANTS && !oldest.done) known.delete(oldest.value)
  }

  /** Gives new tenants a head. Not in the transaction of the rows: there it could close a circle of waiting replicas. */
  async function ensureHeads(tenantIds: readonly string[]): Promise<void> {
    if (tenantIds.length === 0) return
    const macs = tenantIds.map((tenantId) => headMac(headKey.mac, tenantId, 0, GENESIS_HASH))
    await db.query(
      `insert into audit_heads (tenant_id, seq, hash, mac, mac_key_id)
       select t.tenant_id, 0, $3, t.mac, $4 from unnest($1::text[], $2::bytea[]) as t (tenant_id, mac)
       where not exists (select 1 from audit_rows r where r.tenant_id = t.tenant_id)
       on conflict do nothing`,
      [tenantIds, macs, GENESIS_HASH, headKey.id],
    )
  }

  /** Locks heads in one order for every replica and returns those that can be believed. */
  async function lockHeads(tx: Queryable, tenantIds: readonly string[]): Promise<Map<string, Head>> {
    const { rows } = await tx.query<{ tenant_id: string; seq: string; hash: Buffer; mac: Buffer; mac_key_id: string }>(
      `select tenant_id, seq, hash, mac, mac_key_id from audit_heads
       where tenant_id = any ($1) order by tenant_id collate "C" for update`,
      [tenantIds],
    )
    const believed = rows.filter((row) => {
      const seq = Number(row.seq)
      const authentic = equalBytes(headMac(headKey.mac, row.tenant_id, seq, row.hash), row.mac)
      return authentic && row.mac_key_id === headKey.id && seq >= (known.get(row.tenant_id) ?? 0)
    })
    return new Map(believed.map((row) => [row.tenant_id, { seq: Number(row.seq), hash: copyBytes(row.hash) }]))
  }

  /** Chains rows behind their heads, which move on; rows of other tenants are left out. */
  function chain(heads: Map<string, Head>, pending: readonly PendingRow[]): ChainedRow[] {
    return pending.flatMap(({ id, atMs, event }) => {
      const head = heads.get(event.tenantId)
      if (!head) return []
      const row = rowOf(event, { id, atMs, seq: head.seq + 1 })
      const bytes = encodeRow(row)
      const prevHash = head.hash
      head.hash = rowHash(provider, row.tenant_id, row.seq, prevHash, bytes)
      head.seq = row.seq
      return [{ row, bytes, prevHash, hash: head.hash }]
    })
  }

  async function write(tx: Queryable, heads: Map<string, Head>, chained: readonly ChainedRow[]): Promise<void> {
    const rows = chained.map(({ row }) => row)
    const moved = [...heads].map(([tenantId, { seq, hash }]) => ({ tenantId, seq, hash }))
    const { opened, closed } = openAndClosed(rows)
    await tx.query(APPEND, [
      rows.map((row) => row.tenant_id),
      rows.map((row) => row.seq),
      rows.map((row) => row.id),
      rows.map((row) => row.at),
      rows.map((row) => row.action),
      rows.map((row) => row.outcome),
      rows.map((row) => row.actor.id),
      rows.map((row) => row.object?.id ?? null),
      rows.map((row) => row.request_id),
      rows.map((row) => row.message_id),
      chained.map(({ bytes }) => bytes),
      chained.map(({ prevHash }) => prevHash),
      chained.map(({ hash }) => hash),
      moved.map((head) => head.tenantId),
      moved.map((head) => head.seq),
      moved.map((head) => head.hash),
      moved.map((head) => headMac(headKey.mac, head.tenantId, head.seq, head.hash)),
      headKey.id,
      opened.map((intent) => intent.tenantId),
      opened.map((intent) => intent.action),
      opened.map((intent) => intent.correlation),
      opened.map((intent) => intent.seq),
      opened.map((intent) => intent.closeAfter),
      closed.map((intent) => intent.tenantId),
      closed.map((intent) => intent.action),
      closed.map((intent) => intent.correlation),
    ])
  }

  return {
    /** Commits rows and returns the tenants that got none of theirs, because their head could not be believed. */
    async append(pending: readonly PendingRow[]): Promise<ReadonlySet<string>> {
      const tenantIds = [...new Set(pending.map(({ event }) => event.tenantId))].toSorted()
      await ensureHeads(tenantIds.filter((tenantId) => !known.has(tenantId)))
      const heads = await db.transaction(async (tx) => {
        const locked = await lockHeads(tx, tenantIds)
        const chained = chain(locked, pending)
        if (chained.length > 0) await write(tx, locked, chained)
        return locked
      })
      for (const [tenantId, { seq }] of heads) remember(tenantId, seq)
      return new Set(tenantIds.filter((tenantId) => !heads.has(tenantId)))
    },
  }
}

/** Intents that these rows leave open, and earlier ones that they close. */
function openAndClosed(rows: readonly AuditRow[]) {
  const keyOf = (row: AuditRow, action: string) => ({
    tenantId: row.tenant_id,
    action,
    correlation: correlationOf({
      ...(row.message_id !== null && { messageId: row.message_id }),
      ...(row.request_id !== null && { requestId: row.request_id }),
    }),
  })
  const closed = rows.flatMap((row) => {
    const intent = intentOf(row.action)
    return intent === undefined ? [] : [keyOf(row, intent)]
  })
  const closedHere = new Set(closed.map((key) => JSON.stringify(key)))
  const opened = rows
    .filter((row) => isIntent(row.action) && !closedHere.has(JSON.stringify(keyOf(row, row.action))))
    .map((row) => {
      const deadlineMs = typeof row.detail.deadline_ms === 'number' ? row.detail.deadline_ms : DEFAULT_DEADLINE_MS
      return {
        ...keyOf(row, row.action),
        seq: row.seq,
        closeAfter: new Date(Date.parse(row.at) + deadlineMs + GRACE_MS),
      }
    })
  return { opened, closed }
}

/** One statement for any number of rows: rows, heads, and the list of open intents. */
const APPEND = `
with added as (
  insert into audit_rows (tenant_id, seq, id, at, action, outcome, actor_id, object_id, request_id, message_id,
                          row_bytes, prev_hash, hash)
  select * from unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                       $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::bytea[])
), opened as (
  insert into audit_open_intents (tenant_id, action, correlation, seq, close_after)
  select * from unnest($19::text[], $20::text[], $21::text[], $22::bigint[], $23::timestamptz[])
  on conflict do nothing
), closed as (
  delete from audit_open_intents o
  using unnest($24::text[], $25::text[], $26::text[]) as c (tenant_id, action, correlation)
  where (o.tenant_id, o.action, o.correlation) = (c.tenant_id, c.action, c.correlation)
)
update audit_heads h set seq = n.seq, hash = n.hash, mac = n.mac, mac_key_id = $18
from unnest($14::text[], $15::bigint[], $16::bytea[], $17::bytea[]) as n (tenant_id, seq, hash, mac)
where h.tenant_id = n.tenant_id`
