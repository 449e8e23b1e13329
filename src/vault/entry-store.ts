import type { Page, Queryable } from '../db/db.ts'

/** A vault entry as anybody with `vault:read` may see it: no value, nor the length of one. */
export interface VaultEntry {
  id: string
  name: string | null
  credentialType: string
  metadata: Readonly<Record<string, unknown>>
  version: number
  /** 1: in split custody, nothing opens it without the share of its holder. */
  custody: 0 | 1
  /** `false` once it has expired. */
  active: boolean
  createdAt: Date
  updatedAt: Date
  expiresAt: Date | null
  lastAccessedAt: Date | null
}

/** An entry with the life that a rotation renews. */
export interface StoredEntry extends VaultEntry {
  tenantId: string
  ttlDays: number | null
}

export interface EntryRow {
  tenant_id: string
  id: string
  name: string | null
  credential_type: string
  metadata: Record<string, unknown>
  version: number
  current_custody: 0 | 1 | null
  created_at: Date
  updated_at: Date
  ttl_days: number | null
  expires_at: Date | null
  last_accessed_at: Date | null
}

/** Of the table under the alias `e`. */
export const ENTRY_COLUMNS = `e.tenant_id, e.id, e.name, e.credential_type, e.metadata, e.version, e.created_at, e.updated_at, e.ttl_days,
  e.expires_at, e.last_accessed_at, (select c.custody from vault_versions c
    where c.tenant_id = e.tenant_id and c.entry_id = e.id and c.version = e.version) as current_custody`

export function isExpired({ expiresAt }: { expiresAt: Date | null }, now: Date): boolean {
  return expiresAt !== null && expiresAt <= now
}

export function mapEntry(row: EntryRow, now: Date): StoredEntry {
  const expiresAt = row.expires_at
  return {
    tenantId: row.tenant_id,
    id: row.id,
    name: row.name,
    credentialType: row.credential_type,
    metadata: row.metadata,
    version: row.version,
    custody: row.current_custody ?? 0, // without a record there is nothing to open
    active: !isExpired({ expiresAt }, now),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    ttlDays: row.ttl_days,
    expiresAt,
    lastAccessedAt: row.last_accessed_at,
  }
}

/** Newest first, without the deleted ones. */
export async function listEntries(
  db: Queryable,
  tenantId: string,
  now: Date,
  { limit, after }: Page,
): Promise<StoredEntry[]> {
  const { rows } = await db.query<EntryRow>(
    `select ${ENTRY_COLUMNS} from vault_entries e
     where e.tenant_id = $1 and e.deleted_at is null and ($2::uuid is null or e.id < $2) order by e.id desc limit $3`,
    [tenantId, after, limit],
  )
  return rows.map((row) => mapEntry(row, now))
}

export async function findEntry(
  db: Queryable,
  tenantId: string,
  id: string,
  now: Date,
): Promise<StoredEntry | undefined> {
  const { rows } = await db.query<EntryRow>(
    `select ${ENTRY_COLUMNS} from vault_entries e where e.tenant_id = $1 and e.id = $2 and e.deleted_at is null`,
    [tenantId, id],
  )
  return rows[0] && mapEntry(rows[0], now)
}

/** Finds an entry and keeps it from being deleted or changed until the transaction ends. */
export async function holdEntry(
  tx: Queryable,
  tenantId: string,
  id: string,
  now: Date,
): Promise<StoredEntry | undefined> {
  const { rows } = await tx.query<EntryRow>(
    `select ${ENTRY_COLUMNS} from vault_entries e
     where e.tenant_id = $1 and e.id = $2 and e.deleted_at is null for share`,
    [tenantId, id],
  )
  return rows[0] && mapEntry(rows[0], now)
}

/** Keeps entries from being written until the transaction ends. */
export async function holdEntries(tx: Queryable, tenantId: string, ids: readonly string[]): Promise<void> {
  await tx.query(`select 1 from vault_entries where tenant_id = $1 and id = any ($2) order by id for share`, [
    tenantId,
    ids,
  ])
}

export async function insertEntry(tx: Queryable, entry: StoredEntry, metadata: string): Promise<void> {
  await tx.query(
    `insert into vault_entries
       (tenant_id, id, name, credential_type, metadata, version, created_at, updated_at, ttl_days, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      entry.tenantId,
      entry.id,
      entry.name,
      entry.credentialType,
      metadata,
      entry.version,
      entry.createdAt,
      entry.updatedAt,
      entry.ttlDays,
      entry.expiresAt,
    ],
  )
}

/** Moves an entry to its next version; `false` when it is not at the one before, or deleted. */
export async function moveToVersion(
  tx: Queryable,
  entry: Pick<StoredEntry, 'tenantId' | 'id' | 'version' | 'updatedAt' | 'expiresAt'>,
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update vault_entries set version = $3, updated_at = $4, expires_at = $5
     where tenant_id = $1 and id = $2 and version = $3 - 1 and deleted_at is null`,
    [entry.tenantId, entry.id, entry.version, entry.updatedAt, entry.expiresAt],
  )
  return rowCount === 1
}

/** `false` when it is deleted already. */
export async function markDeleted(tx: Queryable, tenantId: string, id: string, now: Date): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update vault_entries set deleted_at = $3, updated_at = $3 where tenant_id = $1 and id = $2 and deleted_at is null`,
    [tenantId, id, now],
  )
  return rowCount === 1
}

export async function markAccessed(tx: Queryable, tenantId: string, id: string, now: Date): Promise<void> {
  await tx.query(`update vault_entries set last_accessed_at = $3 where tenant_id = $1 and id = $2`, [tenantId, id, now])
}
