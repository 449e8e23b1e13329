import { type Bytes, copyBytes } from '../core/bytes.ts'
import type { Page, Queryable } from '../db/db.ts'
import { holdPepper } from '../keys/hold-pepper.ts'
import { isRole, isScope, type Role, type Scope } from './principal.ts'

/** An API key without its secret. */
export interface ApiKey {
  id: string
  tenantId: string
  name: string
  role: Role
  scopes: readonly Scope[]
  /** IP addresses and CIDR blocks; empty: from everywhere. */
  allowedAddresses: readonly string[]
  createdAt: Date
  expiresAt: Date | null
  revokedAt: Date | null
}

export interface StoredApiKey extends ApiKey {
  sandbox: boolean
  digest: Bytes
  pepperId: string
}

export interface PresentedApiKey extends StoredApiKey {
  /** Cost units a second that the operator gave the tenant; null: the deployment's. */
  rateLimit: number | null
}

interface ApiKeyRow {
  id: string
  tenant_id: string
  name: string
  role: string
  scopes: string[]
  allowed_addresses: string[]
  created_at: Date
  expires_at: Date | null
  revoked_at: Date | null
}

type PresentedKeyRow = ApiKeyRow & {
  sandbox: boolean
  digest: Uint8Array
  pepper_id: string
  rate_limit: number | null
}

const COLUMNS =
  'k.id, k.tenant_id, k.name, k.role, k.scopes, k.allowed_addresses, k.created_at, k.expires_at, k.revoked_at'

function mapRow(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    role: isRole(row.role) ? row.role : 'viewer',
    scopes: row.scopes.filter(isScope),
    allowedAddresses: row.allowed_addresses,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  }
}

/** Finds a key by its id alone: the caller's tenant is what the key tells. Revoked ones count as absent. */
export async function findPresentedKey(db: Queryable, id: string): Promise<PresentedApiKey | undefined> {
  const { rows } = await db.query<PresentedKeyRow>(
    `select ${COLUMNS}, k.digest, k.pepper_id, t.sandbox, t.rate_limit
     from api_keys k join tenants t on t.id = k.tenant_id where k.id = $1 and k.revoked_at is null`,
    [id],
  )
  const row = rows[0]
  if (!row) return undefined
  const { sandbox, pepper_id: pepperId, rate_limit: rateLimit } = row
  return { ...mapRow(row), sandbox, digest: copyBytes(row.digest), pepperId, rateLimit }
}

export async function findApiKey(db: Queryable, tenantId: string, id: string): Promise<ApiKey | undefined> {
  const { rows } = await db.query<ApiKeyRow>(`select ${COLUMNS} from api_keys k where k.tenant_id = $1 and k.id = $2`, [
    tenantId,
    id,
  ])
  return rows[0] && mapRow(rows[0])
}

/** Finds a key and keeps it as it is until the transaction ends; with `update` also from others who lock it. */
export async function lockApiKey(
  tx: Queryable,
  tenantId: string,
  id: string,
  strength: 'share' | 'update',
): Promise<ApiKey | undefined> {
  const { rows } = await tx.query<ApiKeyRow>(
    `select ${COLUMNS} from api_keys k where k.tenant_id = $1 and k.id = $2 for ${strength}`,
    [tenantId, id],
  )
  return rows[0] && mapRow(rows[0])
}

/** Newest first, revoked ones included. */
export async function listApiKeys(db: Queryable, tenantId: string, { limit, after }: Page): Promise<ApiKey[]> {
  const { rows } = await db.query<ApiKeyRow>(
    `select ${COLUMNS} from api_keys k
     where k.tenant_id = $1 and ($2::text is null or k.id < $2) order by k.id desc limit $3`,
    [tenantId, after, limit],
  )
  return rows.map(mapRow)
}

/** @throws {AppError} `vault.unavailable` when its pepper was destroyed meanwhile */
export async function insertApiKey(tx: Queryable, key: Omit<StoredApiKey, 'sandbox' | 'revokedAt'>): Promise<void> {
  await holdPepper(tx, key.pepperId)
  await tx.query(
    `insert into api_keys (id, tenant_id, name, role, scopes, digest, pepper_id, allowed_addresses, created_at, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      key.id,
      key.tenantId,
      key.name,
      key.role,
      key.scopes,
      key.digest,
      key.pepperId,
      key.allowedAddresses,
      key.createdAt,
      key.expiresAt,
    ],
  )
}

/** Puts a key's digest under another pepper; `false` when it is no longer under the old one, or revoked. */
export async function moveDigest(
  tx: Queryable,
  tenantId: string,
  id: string,
  { digest, pepperId, oldId }: { digest: Bytes; pepperId: string; oldId: string },
): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update api_keys set digest = $3, pepper_id = $4
     where tenant_id = $1 and id = $2 and pepper_id = $5 and revoked_at is null`,
    [tenantId, id, digest, pepperId, oldId],
  )
  return rowCount === 1
}

/** Counts the API keys under each pepper: those that can still be presented, and those that are revoked or expired. */
export async function countByPepper(
  db: Queryable,
  now: Date,
): Promise<ReadonlyMap<string, { live: number; ended: number }>> {
  const { rows } = await db.query<{ pepper_id: string; live: string; ended: string }>(
    `select pepper_id, count(*) filter (where usable) as live, count(*) filter (where not usable) as ended
     from (select pepper_id, revoked_at is null and (expires_at is null or expires_at > $1) as usable from api_keys) k
     group by pepper_id`,
    [now],
  )
  return new Map(rows.map((row) => [row.pepper_id, { live: Number(row.live), ended: Number(row.ended) }]))
}

/** Returns `false` when there is no such key that is not revoked yet. */
export async function markRevoked(tx: Queryable, tenantId: string, id: string, at: Date): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update api_keys set revoked_at = $3 where tenant_id = $1 and id = $2 and revoked_at is null`,
    [tenantId, id, at],
  )
  return rowCount === 1
}
