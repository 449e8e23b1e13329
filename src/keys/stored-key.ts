import { type Bytes, copyBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'

/** The tenant of keys that belong to the whole deployment. */
export const DEPLOYMENT = '-'

export type KeyState = 'next' | 'active' | 'retired' | 'revoked' | 'destroyed'

/** A row of `keys`: the private half is a wrapped seed, `null` once destroyed or held offline. */
export interface StoredKey {
  id: string
  tenantId: string
  purpose: KeyPurpose
  state: KeyState
  publicKey: Bytes | null
  wrapped: Bytes | null
  kmsKeyId: string
  notBefore: Date
  notAfter: Date | null
}

interface KeyRow {
  id: string
  tenant_id: string
  purpose: KeyPurpose
  state: KeyState
  public: Uint8Array | null
  wrapped: Uint8Array | null
  kms_key_id: string
  not_before: Date
  not_after: Date | null
}

const contextOf = (key: Pick<StoredKey, 'id' | 'tenantId' | 'purpose'>) => ({
  tenant_id: key.tenantId,
  purpose: key.purpose,
  key_id: key.id,
})

/** Wraps the private half of a new key under the deployment's KMS key, bound to tenant, purpose and id. Writes nothing. */
export async function wrapNewKey(
  wrapper: KeyWrapper,
  key: { id: string; tenantId: string; purpose: KeyPurpose; secret: Uint8Array; publicKey?: Bytes },
  nowMs: number,
): Promise<StoredKey> {
  const { id, tenantId, purpose, secret, publicKey = null } = key
  const { keyId: kmsKeyId, wrapped } = await wrapper.wrap(wrapper.defaultKeyId, secret, contextOf(key))
  const notBefore = new Date(nowMs)
  return { id, tenantId, purpose, state: 'active', publicKey, wrapped, kmsKeyId, notBefore, notAfter: null }
}

/**
 * Returns the private half; the caller wipes it.
 *
 * @throws {AppError} `kms.unavailable`; `vault.unavailable` when the private half is no longer here
 */
export async function unwrapKey(wrapper: KeyWrapper, key: StoredKey): Promise<Bytes> {
  if (!key.wrapped)
    throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${key.id}: ${key.state}` })
  return wrapper.unwrap(key.kmsKeyId, key.wrapped, contextOf(key))
}

export async function insertKeys(tx: Queryable, keys: readonly StoredKey[]): Promise<void> {
  for (const key of keys) {
    await tx.query(
      `insert into keys (id, tenant_id, purpose, state, public, wrapped, kms_key_id, created_at, not_before, not_after)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
      [
        key.id,
        key.tenantId,
        key.purpose,
        key.state,
        key.publicKey,
        key.wrapped,
        key.kmsKeyId,
        key.notBefore,
        key.notAfter,
      ],
    )
  }
}

/** Keys of one tenant, oldest first; `id` or `purpose` narrows them. */
export async function findKeys(
  db: Queryable,
  tenantId: string,
  { id = null, purpose = null }: { id?: string | null; purpose?: KeyPurpose | null } = {},
): Promise<StoredKey[]> {
  const { rows } = await db.query<KeyRow>(
    `select id, tenant_id, purpose, state, public, wrapped, kms_key_id, not_before, not_after from keys
     where tenant_id = $1 and ($2::text is null or id = $2) and ($3::text is null or purpose = $3)
     order by created_at, id`,
    [tenantId, id, purpose],
  )
  return rows.map((row) => ({
    id: row.id,
    tenantId: row.tenant_id,
    purpose: row.purpose,
    state: row.state,
    publicKey: row.public && copyBytes(row.public),
    wrapped: row.wrapped && copyBytes(row.wrapped),
    kmsKeyId: row.kms_key_id,
    notBefore: row.not_before,
    notAfter: row.not_after,
  }))
}

/** Destroys private halves for good; ids and public halves stay. */
export async function destroyKeys(tx: Queryable, tenantId: string, ids: readonly string[]): Promise<void> {
  await tx.query(`update keys set state = 'destroyed', wrapped = null where tenant_id = $1 and id = any($2)`, [
    tenantId,
    ids,
  ])
}
