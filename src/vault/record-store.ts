import { copyBytes } from '../core/bytes.ts'
import type { Queryable } from '../db/db.ts'
import { ENTRY_COLUMNS, type EntryRow, mapEntry, type StoredEntry } from './entry-store.ts'
import type { RecordContext, StoredRecord } from './record.ts'

/** A record as its row holds it; the share is `null` once it was shredded. */
export type RecordRow = Omit<StoredRecord, 'wrappedShare'> &
  Pick<RecordContext, 'schema' | 'custody'> & { wrappedShare: StoredRecord['wrappedShare'] | null }

export interface VaultVersion {
  version: number
  credentialType: string
  current: boolean
  createdAt: Date
}

/** The columns of a record in `vault_versions`. */
export interface VersionRow {
  schema: number
  custody: 0 | 1
  vault_key_id: string
  kem_ciphertext: Uint8Array
  wrapped_share: Uint8Array | null
  share_kms_key_id: string
  commitment: Uint8Array
  sealed: Uint8Array
}

export function mapRecord(row: VersionRow): RecordRow {
  return {
    schema: row.schema,
    custody: row.custody,
    vaultKeyId: row.vault_key_id,
    shareKmsKeyId: row.share_kms_key_id,
    kemCiphertext: copyBytes(row.kem_ciphertext),
    wrappedShare: row.wrapped_share && copyBytes(row.wrapped_share),
    commitment: copyBytes(row.commitment),
    sealed: copyBytes(row.sealed),
  }
}

/** Finds an entry with the record of its current version. */
export async function findCurrentRecord(
  db: Queryable,
  tenantId: string,
  id: string,
  now: Date,
): Promise<{ entry: StoredEntry; record: RecordRow } | undefined> {
  const { rows } = await db.query<EntryRow & VersionRow>(
    `select ${ENTRY_COLUMNS}, v.schema, v.custody, v.vault_key_id, v.kem_ciphertext, v.wrapped_share, v.share_kms_key_id,
       v.commitment, v.sealed
     from vault_entries e join vault_versions v
       on v.tenant_id = e.tenant_id and v.entry_id = e.id and v.version = e.version
     where e.tenant_id = $1 and e.id = $2 and e.deleted_at is null`,
    [tenantId, id],
  )
  return rows[0] && { entry: mapEntry(rows[0], now), record: mapRecord(rows[0]) }
}

/**
 * Current records in the order of their entries' ids, `limit` of them after the id `after`; those of `ids` where it is
 * given. An entry whose version has no row has no record.
 */
export async function pageOfRecords(
  db: Queryable,
  tenantId: string,
  { after, limit, ids = null }: { after: string | null; limit: number; ids?: readonly string[] | null },
): Promise<{ entry: Omit<RecordContext, 'schema' | 'custody'>; record: RecordRow | undefined }[]> {
  const { rows } = await db.query<
    Pick<EntryRow, 'id' | 'version' | 'credential_type'> & (VersionRow | { schema: null })
  >(
    `select e.id, e.version, e.credential_type, v.schema, v.custody, v.vault_key_id, v.kem_ciphertext, v.wrapped_share,
       v.share_kms_key_id, v.commitment, v.sealed
     from vault_entries e left join vault_versions v
       on v.tenant_id = e.tenant_id and v.entry_id = e.id and v.version = e.version
     where e.tenant_id = $1 and e.deleted_at is null and ($2::uuid is null or e.id > $2)
       and ($3::uuid[] is null or e.id = any ($3)) order by e.id limit $4`,
    [tenantId, after, ids, limit],
  )
  return rows.map((row) => ({
    entry: { tenantId, entryId: row.id, version: row.version, credentialType: row.credential_type },
    record: row.schema === null ? undefined : mapRecord(row),
  }))
}

/** Newest first, the last 200. */
export async function listVersions(db: Queryable, tenantId: string, id: string): Promise<VaultVersion[]> {
  const { rows } = await db.query<{ version: number; credential_type: string; current: boolean; created_at: Date }>(
    `select v.version, v.credential_type, v.version = e.version as current, v.created_at
     from vault_versions v join vault_entries e on e.tenant_id = v.tenant_id and e.id = v.entry_id
     where v.tenant_id = $1 and v.entry_id = $2 and e.deleted_at is null order by v.version desc limit 200`,
    [tenantId, id],
  )
  return rows.map((row) => ({
    version: row.version,
    credentialType: row.credential_type,
    current: row.current,
    createdAt: row.created_at,
  }))
}

export async function insertRecord(
  tx: Queryable,
  context: RecordContext,
  record: StoredRecord,
  createdAt: Date,
): Promise<void> {
  await tx.query(
    `insert into vault_versions
       (tenant_id, entry_id, version, credential_type, schema, custody, vault_key_id, kem_ciphertext, wrapped_share,
        share_kms_key_id, commitment, sealed, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      context.tenantId,
      context.entryId,
      context.version,
      context.credentialType,
      context.schema,
      context.custody,
      record.vaultKeyId,
      record.kemCiphertext,
      record.wrappedShare,
      record.shareKmsKeyId,
      record.commitment,
      record.sealed,
      createdAt,
    ],
  )
}

/** Destroys the wrapped shares of every version, or of those below one: nobody can open those records again. */
export async function shredShares(
  tx: Queryable,
  tenantId: string,
  id: string,
  { below = null }: { below?: number | null } = {},
): Promise<void> {
  await tx.query(
    `update vault_versions set wrapped_share = null
     where tenant_id = $1 and entry_id = $2 and ($3::integer is null or version < $3) and wrapped_share is not null`,
    [tenantId, id, below],
  )
}
