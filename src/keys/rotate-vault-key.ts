import type { Caller } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import { isUniqueViolation, type Queryable } from '../db/db.ts'
import { openJob } from './job-store.ts'
import { findKeys, insertKeys, moveKey, type StoredKey } from './stored-key.ts'
import type { TenantKeys } from './tenant-keys.ts'

/** Old vault keys of a tenant; each rotation adds one until the job has emptied it. */
const OLD_KEYS_MAX = 8

/** Vault keys of a tenant, oldest first, kept from being changed until the transaction ends. */
export async function lockVaultKeys(tx: Queryable, tenantId: string): Promise<StoredKey[]> {
  // First of all one lock: a key that another process makes meanwhile may come anywhere in the order of ids.
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('sealwire/vault-keys/' || $1, 0))`, [tenantId])
  await tx.query(`select 1 from keys where tenant_id = $1 and purpose = 'vault-key' order by id for update`, [tenantId])
  return findKeys(tx, tenantId, { purpose: 'vault-key' })
}

/**
 * Makes a new vault key of a tenant active, which every process seals to at once, and begins the job that moves what the old
 * ones guard.
 *
 * @throws {AppError} `object.in_use` while eight old keys guard records; `precondition.failed` where two rotate at once
 */
export async function rotateVaultKey(
  deps: { change: AuditedChange; tenantKeys: TenantKeys; clock: Pick<Clock, 'now'> },
  caller: Caller,
  tenantId: string,
): Promise<{ keyId: string; retiredKeyId: string | null }> {
  const { change, tenantKeys, clock } = deps
  const key = await tenantKeys.newVaultKey(tenantId)
  const nowMs = clock.now()
  const now = new Date(nowMs)
  try {
    return await change(async (tx) => {
      const known = await lockVaultKeys(tx, tenantId)
      if (known.filter(({ state }) => state === 'retired').length >= OLD_KEYS_MAX) {
        const message = `${OLD_KEYS_MAX} old vault keys still guard records: wait until the job has moved these.`
        throw new AppError('object.in_use', message)
      }
      const old = known.find(({ state }) => state === 'active')
      if (old) await moveKey(tx, old, { state: 'retired', notAfter: now }, nowMs)
      await insertKeys(tx, [key])
      if (old) {
        const id = newId('job', nowMs)
        await openJob(tx, { id, kind: 'vault-reencrypt', tenantId, target: key.id }, now)
      }
      const retiredKeyId = old?.id ?? null
      const detail = { purpose: 'vault', ...(retiredKeyId !== null && { retired_key_id: retiredKeyId }) }
      const event = { ...caller, action: 'tenant_keys.rotate', outcome: 'success' as const, detail }
      return {
        result: { keyId: key.id, retiredKeyId },
        events: [{ ...event, object: { kind: 'key', id: key.id } }],
      }
    })
  } catch (err) {
    if (!isUniqueViolation(err, 'keys_one_active')) throw err
    throw new AppError('precondition.failed', 'The key was rotated at the same time; look at it and try again.')
  }
}
