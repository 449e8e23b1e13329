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
  mac: Uint8Array
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
  /** Heads as this process last wrote them; the oldest is forgotten first. */
  const known = new Map<string, Head>()

  function remember(tenantId: string, head: Head): void {
    known.delete(tenantId)
    known.set(tenantId, head)
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
      return authentic && row.mac_key_id === headKey.id && seq >= (known.get(row.tenant_id)?.seq ?? 0)
    })
    return new Map(
      believed.map((row) => [row.tenant_id, { seq: Number(row.seq), hash: copyBytes(row.hash), mac: row.mac }]),
    )
  }

  /** Chains rows behind their heads, and says where these move; rows of other tenants are left out. */
  function chain(heads: ReadonlyMap<string, Head>, pending: readonly PendingRow[]) {
    const moved = new Map([...heads].map(([tenantId, head]) => [tenantId, { ...head }]))
    const chained: ChainedRow[] = []
    for (const { id, atMs, event } of pending) {
      const head = moved.get(event.tenantId)
      if (!head) continue
      const row = rowOf(event, { id, atMs, seq: head.seq + 1 })
      const bytes = encodeRow(row)
      const prevHash = head.hash
      head.hash = rowHash(provider, row.tenant_id, row.seq, prevHash, bytes)
      head.seq = row.seq
      chained.push({ row, bytes, prevHash, hash: head.hash })
    }
    for (const [tenantId, head] of moved) head.mac = headMac(headKey.mac, tenantId, head.seq, head.hash)
    return { chained, moved }
  }

  /** Writes rows and moves heads, all or nothing; `false` when a head is not where it was believed to be. */
  async function write(
    tx: Queryable,
    heads: ReadonlyMap<string, Head>,
    { chained, moved }: { chained: readonly ChainedRow[]; moved: ReadonlyMap<string, Head> },
  ): Promise<boolean> {
    const rows = chained.map(({ row }) => row)
    const [before, after] = [[...heads.values()], [...moved.values()]]
    const { opened, closed } = openAndClosed(rows)
    const values = [
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
      [...moved.keys()],
      before.map((head) => head.seq),
      before.map((head) => head.mac),
      after.map((head) => head.seq),
      after.map((head) => head.hash),
      after.map((head) => head.mac),
      headKey.id,
      opened.map((intent) => intent.tenantId),
      opened.map((intent) => intent.action),
      opened.map((intent) => intent.correlation),
      opened.map((intent) => intent.seq),
      opened.map((intent) => intent.closeAfter),
      closed.map((intent) => intent.tenantId),
      closed.map((intent) => intent.action),
      closed.map((intent) => intent.correlation),
    ]
    const { rowCount } = await tx.query(APPEND, values, { prepareAs: 'audit-append' })
    return rowCount === moved.size
  }

  /** In one statement, while no other process writes to these tenants: the heads are where this process left them. */
  async function appendToKnown(tenantIds: readonly string[], pending: readonly PendingRow[]): Promise<boolean> {
    const heads = new Map<string, Head>()
    for (const tenantId of tenantIds) {
      const head = known.get(tenantId)
      if (!head) return false
      heads.set(tenantId, head)
    }
    const next = chain(heads, pending)
    if (!(await write(db, heads, next))) return false
    for (const [tenantId, head] of next.moved) remember(tenantId, head)
    return true
  }

  return {
    /** Commits rows and returns the tenants that got none of theirs, because their head could not be believed. */
    async append(pending: readonly PendingRow[]): Promise<ReadonlySet<string>> {
      const tenantIds = [...new Set(pending.map(({ event }) => event.tenantId))].toSorted()
      if (await appendToKnown(tenantIds, pending)) return new Set()
      await ensureHeads(tenantIds.filter((tenantId) => !known.has(tenantId)))
      const heads = await db.transaction(async (tx) => {
        const locked = await lockHeads(tx, tenantIds)
        const next = chain(locked, pending)
        if (next.chained.length === 0) return locked
        if (!(await write(tx, locked, next))) throw new Error('A locked head moved.')
        return next.moved
      })
      for (const [tenantId, head] of heads) remember(tenantId, head)
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

/** One statement for any number of rows: rows, heads, and the list of open intents. Nothing is written unless all heads stand. */
const APPEND = `
with moved as (
  select * from unnest($14::text[], $15::bigint[], $16::bytea[], $17::bigint[], $18::bytea[], $19::bytea[])
    as m (tenant_id, old_seq, old_mac, seq, hash, mac)
), standing as (
  select h.tenant_id from audit_heads h join moved m using (tenant_id) where h.seq = m.old_seq and h.mac = m.old_mac and h.mac_key_id = $20
  order by h.tenant_id collate "C" for update of h
), verdict as (
  select count(*) = cardinality($14::text[]) as stands from standing
), added as (
  insert into audit_rows (tenant_id, seq, id, at, action, outcome, actor_id, object_id, request_id, message_id,
                          row_bytes, prev_hash, hash)
  select r.* from unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::bytea[]) as r, verdict
  where verdict.stands
), opened as (
  insert into audit_open_intents (tenant_id, action, correlation, seq, close_after)
  select i.* from unnest($21::text[], $22::text[], $23::text[], $24::bigint[], $25::timestamptz[]) as i, verdict
  where verdict.stands
  on conflict do nothing
), closed as (
  delete from audit_open_intents o
  using unnest($26::text[], $27::text[], $28::text[]) as c (tenant_id, action, correlation), verdict
  where verdict.stands and (o.tenant_id, o.action, o.correlation) = (c.tenant_id, c.action, c.correlation)
)
update audit_heads h set seq = m.seq, hash = m.hash, mac = m.mac, mac_key_id = $20
from moved m, verdict
where verdict.stands and h.tenant_id = m.tenant_id`
