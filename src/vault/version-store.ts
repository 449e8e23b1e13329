import type { Queryable } from '../db/db.ts'
import type { RecordContext, StoredRecord } from './record.ts'
import { mapRecord, type RecordRow, type VersionRow } from './record-store.ts'

/** Milliseconds that an operator waits for what goes over the versions of every tenant. */
const COUNT_TIMEOUT_MS = 60_000

/** A version whose record can still be opened: the current one of its entry, or the one before it. */
export interface LiveVersion {
  context: RecordContext
  record: RecordRow & Pick<StoredRecord, 'wrappedShare'>
}

interface LiveRow extends VersionRow {
  tenant_id: string
  entry_id: string
  version: number
  credential_type: string
  wrapped_share: Uint8Array
}

const COLUMNS = `tenant_id, entry_id, version, credential_type, schema, custody, vault_key_id, kem_ciphertext, wrapped_share,
  share_kms_key_id, commitment, sealed`

function mapVersion(row: LiveRow): LiveVersion {
  const { tenant_id: tenantId, entry_id: entryId, version, credential_type: credentialType, schema, custody } = row
  const record = mapRecord(row)
  return {
    context: { tenantId, entryId, version, credentialType, schema, custody },
    record: { ...record, wrappedShare: record.wrappedShare as StoredRecord['wrappedShare'] },
  }
}

/** `<tenant>/<entry>/<version>`: the name of a version for people. */
export function versionName({ tenantId, entryId, version }: RecordContext): string {
  return `${tenantId}/${entryId}/${version}`
}

/** Where a version lies among those under other keys: `<key>/<entry>/<version>`; an id of a KMS key may hold slashes. */
function parsePosition(position: string | null): [string | null, string | null, number] {
  const parts = position?.split('/') ?? []
  const [version, entryId = null] = [parts.pop(), parts.pop()]
  return [position === null ? null : parts.join('/'), entryId, Number(version ?? 0)]
}

/** Rows on either side of one key in the order of an index, so that what is under that key is not looked at. */
function underOtherKeys(column: 'vault_key_id' | 'share_kms_key_id', more: string): string {
  const side = (operator: '<' | '>') => `(
    select ${COLUMNS} from vault_versions
    where tenant_id = $1 ${more} and ${column} ${operator} $2 and wrapped_share is not null
      and ($3::text is null or (${column}, entry_id, version) > ($3::text, $4::uuid, $5::integer))
    order by ${column}, entry_id, version limit $6)`
  return `${side('<')} union all ${side('>')} order by ${column}, entry_id, version limit $6`
}

const OTHER_VAULT_KEYS = underOtherKeys('vault_key_id', 'and custody = 0')
const OTHER_KMS_KEYS = underOtherKeys('share_kms_key_id', '')

/** Versions of a tenant on another vault key than `keyId`, without those that only a holder can open. */
export async function versionsOnOtherVaultKeys(
  db: Queryable,
  tenantId: string,
  keyId: string,
  after: string | null,
  limit: number,
): Promise<{ version: LiveVersion; position: string }[]> {
  const { rows } = await db.query<LiveRow>(OTHER_VAULT_KEYS, [tenantId, keyId, ...parsePosition(after), limit])
  return rows.map((row) => ({
    version: mapVersion(row),
    position: `${row.vault_key_id}/${row.entry_id}/${row.version}`,
  }))
}

/** Versions of a tenant whose share is wrapped under another KMS key than `kmsKeyId`. */
export async function versionsOnOtherKmsKeys(
  db: Queryable,
  tenantId: string,
  kmsKeyId: string,
  after: string | null,
  limit: number,
): Promise<{ version: LiveVersion; position: string }[]> {
  const { rows } = await db.query<LiveRow>(OTHER_KMS_KEYS, [tenantId, kmsKeyId, ...parsePosition(after), limit])
  return rows.map((row) => ({
    version: mapVersion(row),
    position: `${row.share_kms_key_id}/${row.entry_id}/${row.version}`,
  }))
}

/** Versions of one entry that only their holder can open, on another vault key than `keyId`. */
export async function heldVersionsOnOtherVaultKeys(
  db: Queryable,
  tenantId: string,
  entryId: string,
  keyId: string,
): Promise<LiveVersion[]> {
  const { rows } = await db.query<LiveRow>(
    `select ${COLUMNS} from vault_versions
     where tenant_id = $1 and entry_id = $2 and vault_key_id <> $3 and custody = 1 and wrapped_share is not null
     order by version`,
    [tenantId, entryId, keyId],
  )
  return rows.map(mapVersion)
}

/** The first of the tenants with a share under another KMS key than `kmsKeyId`. */
export async function firstOnOtherKmsKeys(
  db: Queryable,
  tenantIds: readonly string[],
  kmsKeyId: string,
): Promise<string | undefined> {
  const { rows } = await db.query<{ id: string }>(
    `select t.id from unnest($1::text[]) with ordinality as t (id, place), lateral (
       ${eitherSide('share_kms_key_id', 'v.tenant_id = t.id')}) as other
     order by t.place limit 1`,
    [tenantIds, kmsKeyId],
  )
  return rows[0]?.id
}

/** Reports whether a live version of a tenant, in split custody or not, is under another vault key than `keyId`. */
export async function hasOtherVaultKeys(db: Queryable, tenantId: string, keyId: string): Promise<boolean> {
  const { rows } = await db.query(
    [0, 1]
      .map((custody) => eitherSide('vault_key_id', `v.tenant_id = $1 and v.custody = ${custody}`))
      .join(' union all ')
      .concat(' limit 1'),
    [tenantId, keyId],
  )
  return rows.length > 0
}

/** Of some vault keys of a tenant, those that live versions are under, in split custody or not. */
export async function vaultKeysInUse(db: Queryable, tenantId: string, keyIds: readonly string[]): Promise<Set<string>> {
  const under = (custody: 0 | 1) => `(select 1 from vault_versions v
    where v.tenant_id = $1 and v.custody = ${custody} and v.vault_key_id = k.id and v.wrapped_share is not null
    order by v.entry_id, v.version limit 1)`
  const { rows } = await db.query<{ id: string }>(
    `select distinct k.id from unnest($2::text[]) as k (id), lateral (${under(0)} union all ${under(1)}) as used`,
    [tenantId, keyIds],
  )
  return new Set(rows.map(({ id }) => id))
}

/** One row on either side of a key, if there is any. Without the order, some plans look at every row. */
function eitherSide(column: 'vault_key_id' | 'share_kms_key_id', where: string): string {
  return ['<', '>']
    .map(
      (operator) => `(select 1 from vault_versions v
         where ${where} and v.${column} ${operator} $2 and v.wrapped_share is not null
         order by v.${column}, v.entry_id, v.version limit 1)`,
    )
    .join(' union all ')
}

/** Reports whether a live share of anybody is under a KMS key. */
export async function isKmsKeyOfShares(db: Queryable, kmsKeyId: string): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from vault_versions where share_kms_key_id = $1 and wrapped_share is not null limit 1`,
    [kmsKeyId],
    { timeoutMs: COUNT_TIMEOUT_MS },
  )
  return rows.length > 0
}

/**
 * Keeps an entry from being written, and its writes from being judged, until the transaction ends; returns the number of its
 * current version.
 */
export async function lockEntry(tx: Queryable, { tenantId, entryId }: RecordContext): Promise<number | undefined> {
  const { rows } = await tx.query<{ version: number }>(
    `select version from vault_entries where tenant_id = $1 and id = $2 for no key update`,
    [tenantId, entryId],
  )
  return rows[0]?.version
}

/** Puts another record in the place of one; `false` when it is no longer there as it was. */
export async function replaceRecord(
  tx: Queryable,
  { context, record: before }: LiveVersion,
  after: StoredRecord,
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update vault_versions set vault_key_id = $4, kem_ciphertext = $5, wrapped_share = $6, share_kms_key_id = $7,
       commitment = $8, sealed = $9
     where tenant_id = $1 and entry_id = $2 and version = $3
       and vault_key_id = $10 and kem_ciphertext = $11 and wrapped_share = $12 and share_kms_key_id = $13
       and custody = $14 and credential_type = $15 and schema = $16`,
    [
      context.tenantId,
      context.entryId,
      context.version,
      after.vaultKeyId,
      after.kemCiphertext,
      after.wrappedShare,
      after.shareKmsKeyId,
      after.commitment,
      after.sealed,
      before.vaultKeyId,
      before.kemCiphertext,
      before.wrappedShare,
      before.shareKmsKeyId,
      context.custody,
      context.credentialType,
      context.schema,
    ],
  )
  return rowCount === 1
}

/** How many live versions a vault key guards. */
export interface RecordCount {
  keyId: string
  live: number
  /** Of these, the ones that only their holder can open. */
  inCustody: number
}

/** Live versions of a tenant by vault key, in one snapshot: the sum is all of them, whatever moves meanwhile. */
export async function countByVaultKey(db: Queryable, tenantId: string): Promise<RecordCount[]> {
  const { rows } = await db.query<{ key_id: string; live: string; in_custody: string }>(
    `select vault_key_id as key_id, count(*) as live, count(*) filter (where custody = 1) as in_custody
     from vault_versions where tenant_id = $1 and wrapped_share is not null group by vault_key_id order by vault_key_id`,
    [tenantId],
  )
  return rows.map((row) => ({ keyId: row.key_id, live: Number(row.live), inCustody: Number(row.in_custody) }))
}

/** Live versions of everybody by the KMS key of their share, in one snapshot; for an operator, who waits. */
export async function countByKmsKey(db: Queryable): Promise<{ keyId: string; wraps: number }[]> {
  const { rows } = await db.query<{ key_id: string; wraps: string }>(
    `select share_kms_key_id as key_id, count(*) as wraps from vault_versions where wrapped_share is not null
     group by share_kms_key_id order by share_kms_key_id`,
    [],
    { timeoutMs: COUNT_TIMEOUT_MS },
  )
  return rows.map((row) => ({ keyId: row.key_id, wraps: Number(row.wraps) }))
}

/** Live versions under each vault key of a tenant, for the operator's list of keys. */
export async function countVaultRecords(
  db: Queryable,
  tenantId: string,
): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>> {
  const counts = await countByVaultKey(db, tenantId)
  return new Map(
    counts.map(({ keyId, live, inCustody }) => [keyId, { records: live, records_in_split_custody: inCustody }]),
  )
}
