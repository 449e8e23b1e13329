import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose } from '../kms/kms.ts'
import { activeFromMs, isPublished } from './key-states.ts'
import { DEPLOYMENT, findKeys, type KeyState, type StoredKey } from './stored-key.ts'

/** What depends on keys of a tenant (`-`: the deployment), counted by key id: `{ api_keys: 3 }`. */
export type KeyCounter = (
  db: Queryable,
  tenantId: string,
) => Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>

export interface ListedKey {
  id: string
  purpose: KeyPurpose
  state: KeyState
  /** When it got this state. */
  since: Date
  /** The key of the key wrapper that its private half is wrapped under. */
  kmsKeyId: string
  privateHalf: 'here' | 'offline' | 'destroyed'
  /** When a published key may be activated. */
  activeFrom: Date | null
  counts: Readonly<Record<string, number>>
}

/** Keys that come and go with one recipient; there may be tens of thousands. */
const PER_RECIPIENT: readonly KeyPurpose[] = ['recipient-seed', 'mac-key']

function privateHalfOf({ purpose, state, wrapped }: StoredKey): ListedKey['privateHalf'] {
  if (wrapped) return 'here'
  return purpose === 'root-key' && state === 'active' ? 'offline' : 'destroyed'
}

/**
 * Lists keys of the deployment, or of a tenant, oldest first, with what depends on each. Recipients' keys are left out.
 *
 * @throws {AppError} `object.not_found` for a tenant that is not there
 */
export async function listKeys(
  db: Queryable,
  counters: readonly KeyCounter[],
  tenantId: string = DEPLOYMENT,
): Promise<ListedKey[]> {
  if (
    tenantId !== DEPLOYMENT &&
    (await db.query(`select 1 from tenants where id = $1`, [tenantId])).rows.length === 0
  ) {
    throw new AppError('object.not_found', `There is no tenant ${tenantId}.`)
  }
  // Counts come first: no key that they name is missing then, so that they add up although keys are made meanwhile.
  const counted = await Promise.all(counters.map((count) => count(db, tenantId)))
  const rows = await findKeys(db, tenantId, { except: PER_RECIPIENT })
  return rows.map((key) => ({
    id: key.id,
    purpose: key.purpose,
    state: key.state,
    since: key.stateSince,
    kmsKeyId: key.kmsKeyId,
    privateHalf: privateHalfOf(key),
    activeFrom: key.state === 'next' && isPublished(key.purpose) ? new Date(activeFromMs(key)) : null,
    counts: Object.assign({}, ...counted.map((counts) => counts.get(key.id) ?? {})) as Record<string, number>,
  }))
}
