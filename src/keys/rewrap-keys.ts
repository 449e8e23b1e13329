import type { AuditedChange } from '../audit/audited-change.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { NO_TENANT, newId } from '../core/ids.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Queryable } from '../db/db.ts'
import type { KeyPurpose, KeyWrapper } from '../kms/kms.ts'
import type { MoveOutcome, RowSource } from './key-job.ts'
import { isWrapAtFault } from './probe-wrapper.ts'
import { contextOf, DEPLOYMENT, findKeys, type StoredKey, unwrapKey } from './stored-key.ts'

/** Milliseconds that an operator waits for what goes over the keys of every tenant. */
const COUNT_TIMEOUT_MS = 60_000

export interface RewrapKeysDeps {
  db: Queryable
  change: AuditedChange
  wrapper: KeyWrapper
  clock: Pick<Clock, 'now'>
  feed: Pick<ChangeFeed, 'announce'>
}

/** Which set of a tenant's keys a purpose belongs to: other processes keep rows of these, and must read them again. */
function setOf(purpose: KeyPurpose): string | undefined {
  if (purpose.startsWith('sign-')) return 'sign'
  if (purpose.startsWith('object-')) return 'object'
  return purpose.startsWith('v1-') ? 'version-1' : undefined
}

/** On either side of one KMS key in the order of an index, so that what is under that key is not looked at. */
const OTHER_KMS_KEYS = ['<', '>']
  .map(
    (operator) => `(
      select id, tenant_id, kms_key_id from keys
      where kms_key_id ${operator} $1 and wrapped is not null
        and ($2::text is null or (kms_key_id, id) > ($2::text, $3::text))
      order by kms_key_id, id limit $4)`,
  )
  .join(' union all ')
  .concat(' order by kms_key_id, id limit $4')

/** Wrapped private halves, of the deployment and of all tenants, that are under another KMS key than `kmsKeyId`. */
export function keysToRewrap(deps: RewrapKeysDeps, kmsKeyId: string): RowSource {
  const { db, change, wrapper, clock, feed } = deps

  async function announce(tx: Queryable, { tenantId, purpose }: StoredKey): Promise<void> {
    const set = setOf(purpose)
    if (tenantId === DEPLOYMENT) await feed.announce(tx, 'deployment_key', DEPLOYMENT)
    else if (set !== undefined) await feed.announce(tx, 'tenant_key', `${tenantId}/${set}`)
  }

  function replace(before: StoredKey, after: { keyId: string; wrapped: Bytes }): Promise<MoveOutcome> {
    return change<MoveOutcome>(async (tx) => {
      const { rowCount } = await tx.query(
        `update keys set wrapped = $3, kms_key_id = $4
         where tenant_id = $1 and id = $2 and wrapped = $5 and kms_key_id = $6`,
        [before.tenantId, before.id, after.wrapped, after.keyId, before.wrapped, before.kmsKeyId],
      )
      if (rowCount !== 1) return { result: 'passed', events: [] }
      await announce(tx, before)
      const event = {
        tenantId: before.tenantId === DEPLOYMENT ? NO_TENANT : before.tenantId,
        actor: { id: 'system' },
        requestId: newId('req', clock.now()),
        action: 'keys.rewrap',
        outcome: 'success' as const,
        object: { kind: 'key', id: before.id },
        detail: { purpose: before.purpose, kms_key_id: after.keyId },
      }
      return { result: 'moved', events: [event] }
    })
  }

  async function move({ tenantId, id }: Pick<StoredKey, 'tenantId' | 'id'>): Promise<MoveOutcome> {
    const [key] = await findKeys(db, tenantId, { id })
    if (!key?.wrapped || key.kmsKeyId === kmsKeyId) return 'passed'
    let secret: Bytes | undefined
    try {
      secret = await unwrapKey(wrapper, key)
      return await replace(key, await wrapper.wrap(kmsKeyId, secret, contextOf(key)))
    } catch (err) {
      if (await isWrapAtFault(err, wrapper)) return 'unusable'
      throw err
    } finally {
      if (secret) wipe(secret)
    }
  }

  return {
    name: 'keys',
    async page(after, limit) {
      const slash = after?.lastIndexOf('/') ?? 0 // an id of a KMS key may hold slashes
      const [afterKmsKey, afterId] = after === null ? [null, null] : [after.slice(0, slash), after.slice(slash + 1)]
      const { rows } = await db.query<{ id: string; tenant_id: string; kms_key_id: string }>(OTHER_KMS_KEYS, [
        kmsKeyId,
        afterKmsKey,
        afterId,
        limit,
      ])
      return rows.map(({ id, tenant_id: tenantId, kms_key_id: current }) => ({
        position: `${current}/${id}`,
        name: `${tenantId}/${id}`,
        move: () => move({ tenantId, id }),
      }))
    },
  }
}

/** Reports whether a wrapped private half of anybody is under a KMS key. */
export async function isKmsKeyOfKeys(db: Queryable, kmsKeyId: string): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from keys where kms_key_id = $1 and wrapped is not null order by id limit 1`,
    [kmsKeyId],
  )
  return rows.length > 0
}

/** Wrapped private halves by KMS key, in one snapshot; for an operator, who waits. */
export async function countKeysByKmsKey(db: Queryable): Promise<{ keyId: string; wraps: number }[]> {
  const { rows } = await db.query<{ key_id: string; wraps: string }>(
    `select kms_key_id as key_id, count(*) as wraps from keys where wrapped is not null group by kms_key_id
     order by kms_key_id`,
    [],
    { timeoutMs: COUNT_TIMEOUT_MS },
  )
  return rows.map((row) => ({ keyId: row.key_id, wraps: Number(row.wraps) }))
}
