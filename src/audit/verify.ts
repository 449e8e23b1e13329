import { equalBytes } from '../core/bytes.ts'
import { NO_TENANT } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Db, Queryable } from '../db/db.ts'
import type { AuditAction } from './actions.ts'
import type { HeadKey } from './chain-store.ts'
import { GENESIS_HASH, headMac, rowHash } from './row.ts'

/**
 * `seq` is the first row that is wrong, missing, or too many; the last row plus one where only the head is wrong. A chain
 * that does not begin with its tenant's creation lacks row 1.
 */
export type ChainReport = { ok: true; rows: number } | { ok: false; rows: number; seq: number; problem: ChainProblem }

export type ChainProblem =
  | 'row is missing'
  | 'row does not match its columns'
  | 'row does not follow the one before it'
  | 'hash does not match the row'
  | 'row is behind the head'
  | 'head is missing'
  | 'head is not authentic'
  | 'head does not match the last row'

interface StoredRow {
  seq: string
  id: string
  at: Date
  action: string
  outcome: string
  actor_id: string | null
  object_id: string | null
  request_id: string | null
  message_id: string | null
  row_bytes: Buffer
  prev_hash: Buffer
  hash: Buffer
}

const PAGE = 1000
const FIRST_ACTION = 'tenants.create' satisfies AuditAction

/**
 * Recomputes the whole chain of a tenant from its creation, and compares the last row with the head, in one snapshot. Rows
 * that were cut together with an old, authentic head look whole: only a checkpoint kept elsewhere shows that.
 *
 * @throws {AppError} `database.unavailable`
 */
export function verifyChain(
  deps: { db: Db; provider: Pick<CryptoProvider, 'sha3_256'>; headKey: HeadKey },
  tenantId: string,
): Promise<ChainReport> {
  return deps.db.transaction(async (tx) => {
    await tx.query('set transaction isolation level repeatable read, read only')
    const head = await findHead(tx, tenantId)
    let last: { seq: number; hash: Uint8Array } = { seq: 0, hash: GENESIS_HASH }
    const fault = (seq: number, problem: ChainProblem): ChainReport => ({ ok: false, rows: last.seq, seq, problem })

    for (let page = await pageOf(tx, tenantId, 0); page.length > 0; page = await pageOf(tx, tenantId, last.seq)) {
      for (const row of page) {
        const seq = last.seq + 1
        if (Number(row.seq) > seq) return fault(seq, 'row is missing')
        if (Number(row.seq) < seq) return fault(Number(row.seq), 'row does not follow the one before it')
        if (!columnsMatch(tenantId, row)) return fault(seq, 'row does not match its columns')
        if (!equalBytes(row.prev_hash, last.hash)) return fault(seq, 'row does not follow the one before it')
        const hash = rowHash(deps.provider, tenantId, seq, last.hash, row.row_bytes)
        if (!equalBytes(row.hash, hash)) return fault(seq, 'hash does not match the row')
        if (seq === 1 && !isFirst(tenantId, row)) return fault(1, 'row is missing')
        if (head && seq > Number(head.seq)) return fault(seq, 'row is behind the head')
        last = { seq, hash }
      }
    }

    if (!head) return fault(last.seq + 1, 'head is missing')
    const mac = headMac(deps.headKey.mac, tenantId, Number(head.seq), head.hash)
    if (head.mac_key_id !== deps.headKey.id || !equalBytes(head.mac, mac)) {
      return fault(last.seq + 1, 'head is not authentic')
    }
    if (Number(head.seq) !== last.seq) return fault(last.seq + 1, 'row is missing')
    if (!equalBytes(head.hash, last.hash)) return fault(last.seq, 'head does not match the last row')
    if (last.seq === 0 && tenantId !== NO_TENANT) return fault(1, 'row is missing')
    return { ok: true, rows: last.seq }
  })
}

/** What was deleted as a whole, head and all, begins again with something else. */
function isFirst(tenantId: string, row: StoredRow): boolean {
  return tenantId === NO_TENANT || row.action === FIRST_ACTION
}

async function findHead(tx: Queryable, tenantId: string) {
  const { rows } = await tx.query<{ seq: string; hash: Buffer; mac: Buffer; mac_key_id: string }>(
    'select seq, hash, mac, mac_key_id from audit_heads where tenant_id = $1',
    [tenantId],
  )
  return rows[0]
}

/** The first page starts below 1, so that a row in front of the first is seen as well. */
async function pageOf(tx: Queryable, tenantId: string, after: number): Promise<StoredRow[]> {
  const { rows } = await tx.query<StoredRow>(
    `select seq, id, at, action, outcome, actor_id, object_id, request_id, message_id, row_bytes, prev_hash, hash
     from audit_rows where tenant_id = $1 and ($2 = 0 or seq > $2) order by seq limit $3`,
    [tenantId, after, PAGE],
  )
  return rows
}

/** The columns that queries use must say what the hashed bytes say. */
function columnsMatch(tenantId: string, row: StoredRow): boolean {
  let parsed: unknown
  try {
    parsed = JSON.parse(row.row_bytes.toString('utf8'))
  } catch {
    return false
  }
  const bytes = (parsed ?? {}) as Record<string, unknown>
  const member = (name: string, of = bytes) => of[name] ?? null
  const idIn = (name: string) => member('id', (bytes[name] ?? {}) as Record<string, unknown>)
  return (
    bytes.tenant_id === tenantId &&
    bytes.seq === Number(row.seq) &&
    bytes.id === row.id &&
    sameInstant(bytes.at, row.at) &&
    bytes.action === row.action &&
    bytes.outcome === row.outcome &&
    idIn('actor') === row.actor_id &&
    idIn('object') === row.object_id &&
    member('request_id') === row.request_id &&
    member('message_id') === row.message_id
  )
}

/** To the millisecond: `pg` gives no more. */
function sameInstant(text: unknown, column: Date): boolean {
  return typeof text === 'string' && Date.parse(text) === column.getTime()
}
