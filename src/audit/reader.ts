import { AppError } from '../core/errors.ts'
import { toHex } from '../core/hex.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Db } from '../db/db.ts'
import type { HeadKey } from './chain-store.ts'
import type { AuditRow } from './row.ts'
import { readVaultWrites } from './vault-writes.ts'
import { type ChainReport, verifyChain } from './verify.ts'

/** A row with its place in the chain, as hexadecimal text. */
export interface ChainedRow {
  row: AuditRow
  prevHash: string
  hash: string
}

export interface AuditQuery {
  limit: number
  /** `seq` of the last row of the page before. */
  after: string | undefined
  action?: string | undefined
  outcome?: string | undefined
  requestId?: string | undefined
  messageId?: string | undefined
}

export interface AuditReader {
  /** Newest first. */
  list(tenantId: string, query: AuditQuery): Promise<{ items: ChainedRow[]; nextAfter: string | null }>
  /** @throws {AppError} `object.not_found` */
  get(tenantId: string, id: string): Promise<ChainedRow>
  /** The first 100 rows under any of these message ids, oldest first. */
  ofMessage(tenantId: string, messageIds: readonly string[]): Promise<AuditRow[]>
  /** Recomputes the tenant's chain and names the first bad row. */
  verify(tenantId: string): Promise<ChainReport>
  /** Which SHA-384 the current record of each vault entry may have, in hexadecimal. */
  vaultWrites(tenantId: string): Promise<ReadonlyMap<string, readonly string[]>>
}

interface StoredRow {
  row_bytes: Buffer
  prev_hash: Buffer
  hash: Buffer
}

function chained({ row_bytes: bytes, prev_hash: prevHash, hash }: StoredRow): ChainedRow {
  return { row: JSON.parse(bytes.toString('utf8')) as AuditRow, prevHash: toHex(prevHash), hash: toHex(hash) }
}

/** Reads the audit log of one tenant at a time; reading leaves no row. */
export function createAuditReader(deps: {
  db: Db
  provider: Pick<CryptoProvider, 'sha3_256'>
  headKey: HeadKey
}): AuditReader {
  const { db } = deps
  const verifying = new Map<string, Promise<ChainReport>>()

  /** One run at a time for a tenant; who asks meanwhile gets its report. */
  function verify(tenantId: string): Promise<ChainReport> {
    const known = verifying.get(tenantId)
    if (known) return known
    const run = verifyChain(deps, tenantId).finally(() => verifying.delete(tenantId))
    verifying.set(tenantId, run)
    return run
  }

  return {
    async list(tenantId, { limit, after, action, outcome, requestId, messageId }) {
      const { rows } = await db.query<StoredRow>(
        `select row_bytes, prev_hash, hash from audit_rows
         where tenant_id = $1 and ($2::bigint is null or seq < $2) and ($3::text is null or action = $3)
           and ($4::text is null or outcome = $4) and ($5::text is null or request_id = $5)
           and ($6::text is null or message_id = $6)
         order by seq desc limit $7`,
        [tenantId, after, action, outcome, requestId, messageId, limit + 1],
      )
      const items = rows.slice(0, limit).map(chained)
      return { items, nextAfter: rows.length > limit ? String(items.at(-1)?.row.seq) : null }
    },
    async get(tenantId, id) {
      const { rows } = await db.query<StoredRow>(
        'select row_bytes, prev_hash, hash from audit_rows where tenant_id = $1 and id = $2',
        [tenantId, id],
      )
      if (!rows[0]) throw new AppError('object.not_found', 'No such object.')
      return chained(rows[0])
    },
    async ofMessage(tenantId, messageIds) {
      const { rows } = await db.query<Pick<StoredRow, 'row_bytes'>>(
        `select row_bytes from audit_rows where tenant_id = $1 and message_id = any ($2::text[])
         order by seq limit 100`,
        [tenantId, messageIds],
      )
      return rows.map(({ row_bytes: bytes }) => JSON.parse(bytes.toString('utf8')) as AuditRow)
    },
    verify,
    vaultWrites: (tenantId) => readVaultWrites(db, tenantId),
  }
}
