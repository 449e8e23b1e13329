import { type Bytes, copyBytes } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import { mayMove } from './key-states.ts'

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
  /** When it got its present state. */
  stateSince: Date
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
  state_since: Date
}

/** The encryption context of a wrapped private half. */
export const contextOf = (key: Pick<StoredKey, 'id' | 'tenantId' | 'purpose'>) => ({
  tenant_id: key.tenantId,
  purpose: key.purpose,
  key_id: key.id,
})

/**
 * Wraps the private half of a new key under the deployment's KMS key, bound to tenant, purpose and id. Writes nothing.
 * The key is `active` unless `state` says otherwise.
 */
export async function wrapNewKey(
  wrapper: KeyWrapper,
  key: { id: string; tenantId: string; purpose: KeyPurpose; secret: Uint8Array; publicKey?: Bytes; state?: KeyState },
  nowMs: number,
): Promise<StoredKey> {
  const { id, tenantId, purpose, secret, publicKey = null, state = 'active' } = key
  const { kmsKeyId, wrapped } = await wrapSecret(wrapper, key, secret)
  const now = new Date(nowMs)
  const times = { notBefore: now, notAfter: null, stateSince: now }
  return { id, tenantId, purpose, state, publicKey, wrapped, kmsKeyId, ...times }
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
      `insert into keys (id, tenant_id, purpose, state, public, wrapped, kms_key_id, created_at, not_before, not_after,
                         state_since)
       values ($1, $2, $3, $4, $5, $6, $7, $10, $8, $9, $10)`,
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
        key.stateSince,
      ],
    )
  }
}

type OneOrMore<T> = T | readonly T[] | undefined

function listOf<T>(wanted: OneOrMore<T>): T[] | null {
  return wanted === undefined ? null : ([wanted].flat() as T[])
}

/** Keys of one tenant, oldest first, in one snapshot; ids, purposes (wanted or left out) or a state narrow them. */
export async function findKeys(
  db: Queryable,
  tenantId: string,
  {
    id,
    purpose,
    except = [],
    state,
  }: {
    id?: OneOrMore<string>
    purpose?: OneOrMore<KeyPurpose>
    except?: readonly KeyPurpose[]
    state?: KeyState | undefined
  } = {},
): Promise<StoredKey[]> {
  const { rows } = await db.query<KeyRow>(
    `select id, tenant_id, purpose, state, public, wrapped, kms_key_id, not_before, not_after, state_since from keys
     where tenant_id = $1 and ($2::text[] is null or id = any($2)) and ($3::text[] is null or purpose = any($3))
       and ($4::text is null or state = $4) and purpose <> all($5)
     order by created_at, id`,
    [tenantId, listOf(id), listOf(purpose), state ?? null, except],
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
    stateSince: row.state_since,
  }))
}

/** What a key becomes; members that are left out stay. */
export interface KeyMove {
  state: KeyState
  notBefore?: Date
  notAfter?: Date
  /** Destroys the private half, for good. */
  dropPrivateHalf?: boolean
}

/**
 * Moves a key of which the caller holds the lock to another state, and returns it as it is then. A private half that
 * another transaction wraps anew meanwhile stays as that one leaves it.
 *
 * @throws {AppError} `precondition.failed` for a way that the state machine does not have
 */
export async function moveKey(tx: Queryable, key: StoredKey, move: KeyMove, nowMs: number): Promise<StoredKey> {
  const { state, notBefore = key.notBefore, notAfter = key.notAfter, dropPrivateHalf = false } = move
  if (!mayMove(key.purpose, key.state, state)) {
    throw new AppError('precondition.failed', `Key ${key.id} (${key.purpose}) is ${key.state}: it cannot be ${state}.`)
  }
  const stateSince = new Date(nowMs)
  await tx.query(
    `update keys set state = $3, not_before = $4, not_after = $5, state_since = $6,
                     wrapped = case when $7 then null else wrapped end
     where tenant_id = $1 and id = $2`,
    [key.tenantId, key.id, state, notBefore, notAfter, stateSince, dropPrivateHalf],
  )
  return { ...key, state, notBefore, notAfter, stateSince, wrapped: dropPrivateHalf ? null : key.wrapped }
}

/** Keeps a key as it is, and what others would write under it unwritten, until the transaction ends. */
export async function lockKey(tx: Queryable, tenantId: string, id: string): Promise<void> {
  await tx.query(`select 1 from keys where tenant_id = $1 and id = $2 for update`, [tenantId, id])
}

/** Wraps the private half of a key that is there already, bound to the same tenant, purpose and id. */
export async function wrapSecret(
  wrapper: KeyWrapper,
  key: Pick<StoredKey, 'id' | 'tenantId' | 'purpose'>,
  secret: Uint8Array,
): Promise<{ wrapped: Bytes; kmsKeyId: string }> {
  const { keyId: kmsKeyId, wrapped } = await wrapper.wrap(wrapper.defaultKeyId, secret, contextOf(key))
  return { kmsKeyId, wrapped }
}

/** Takes the private half of a key out of the database (`null`: it is offline), or puts it back. */
export async function setPrivateHalf(
  tx: Queryable,
  key: StoredKey,
  half: { wrapped: Bytes; kmsKeyId: string } | null,
): Promise<void> {
  await tx.query(`update keys set wrapped = $3, kms_key_id = $4 where tenant_id = $1 and id = $2`, [
    key.tenantId,
    key.id,
    half?.wrapped ?? null,
    half?.kmsKeyId ?? key.kmsKeyId,
  ])
}

/** Destroys private halves for good; ids and public halves stay. */
export async function destroyKeys(tx: Queryable, tenantId: string, ids: readonly string[]): Promise<void> {
  await tx.query(
    `update keys set state = 'destroyed', wrapped = null, state_since = now() where tenant_id = $1 and id = any($2)`,
    [tenantId, ids],
  )
}
