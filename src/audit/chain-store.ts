import { copyBytes, equalBytes } from '../core/bytes.ts'
import type { CryptoProvider, MacKey } from '../crypto/provider.ts'
import type { Db, Queryable } from '../db/db.ts'
import { appendRows, type ChainedRow, type Head, type MovedHead } from './append.ts'
import type { AuditEvent } from './audit.ts'
import { encodeRow, GENESIS_HASH, headMac, rowHash, rowOf } from './row.ts'

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

interface Chained {
  rows: ChainedRow[]
  moved: MovedHead[]
  headKeyId: string
}

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
  function chain(heads: ReadonlyMap<string, Head>, pending: readonly PendingRow[]): Chained {
    const last = new Map<string, Pick<Head, 'seq' | 'hash'>>(heads)
    const rows: ChainedRow[] = []
    for (const { id, atMs, event } of pending) {
      const head = last.get(event.tenantId)
      if (!head) continue
      const row = rowOf(event, { id, atMs, seq: head.seq + 1 })
      const bytes = encodeRow(row)
      const hash = rowHash(provider, row.tenant_id, row.seq, head.hash, bytes)
      last.set(event.tenantId, { seq: row.seq, hash })
      rows.push({ row, atMs, bytes, prevHash: head.hash, hash })
    }
    const moved: MovedHead[] = []
    for (const [tenantId, before] of heads) {
      const { seq, hash } = last.get(tenantId) ?? before
      moved.push({ tenantId, before, after: { seq, hash, mac: headMac(headKey.mac, tenantId, seq, hash) } })
    }
    return { rows, moved, headKeyId: headKey.id }
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
    if (!(await appendRows(db, next))) return false
    for (const { tenantId, after } of next.moved) remember(tenantId, after)
    return true
  }

  /** In a transaction under the locks of the heads; returns those that could be believed. */
  function appendLocked(tenantIds: readonly string[], pending: readonly PendingRow[]): Promise<readonly MovedHead[]> {
    return db.transaction(async (tx) => {
      const next = chain(await lockHeads(tx, tenantIds), pending)
      if (next.rows.length > 0 && !(await appendRows(tx, next))) throw new Error('A locked head moved.')
      return next.moved
    })
  }

  return {
    /** Commits rows and returns the tenants that got none of theirs, because their head could not be believed. */
    async append(pending: readonly PendingRow[]): Promise<ReadonlySet<string>> {
      const tenantIds = [...new Set(pending.map(({ event }) => event.tenantId))].toSorted()
      if (await appendToKnown(tenantIds, pending)) return new Set()
      await ensureHeads(tenantIds.filter((tenantId) => !known.has(tenantId)))
      const moved = await appendLocked(tenantIds, pending)
      for (const { tenantId, after } of moved) remember(tenantId, after)
      const written = new Set(moved.map(({ tenantId }) => tenantId))
      return new Set(tenantIds.filter((tenantId) => !written.has(tenantId)))
    },
  }
}
