import type { AuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import { finishJob } from '../keys/job-store.ts'
import { type JobPlan, type KeyJob, RETRY_MS, type Verdict } from '../keys/key-job.ts'
import { keysToRewrap } from '../keys/rewrap-keys.ts'
import { lockVaultKeys } from '../keys/rotate-vault-key.ts'
import { DEPLOYMENT } from '../keys/stored-key.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { tenantsWithoutKmsKey } from '../tenants/kms-keys.ts'
import { recordsToReEncrypt } from './re-encrypt.ts'
import { sharesToRewrap, type TenantsAfter } from './rewrap-shares.ts'
import { hasOtherVaultKeys, vaultKeysInUse } from './version-store.ts'

export interface KeyPlanDeps {
  db: Db
  change: AuditedChange
  tenantKeys: TenantKeys
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Clock
  feed: ChangeFeed
}

/**
 * Milliseconds between the last record that left an old vault key and the destruction of its private half: whoever read a
 * record before it moved has opened it by then. Twice the longest deadline of a request.
 */
export const SETTLE_MS = 60_000
/** Milliseconds until the next pass where rows need their holder, or somebody who mends them. */
const STUCK_MS = 600_000
/** Tenants that are looked through at once for shares to move. */
const TENANTS_AT_ONCE = 500

/** Thrown to roll back what is no longer ours to do. */
class LostJobError extends Error {}

function reEncryption(deps: KeyPlanDeps, tenantId: string, owner: string): JobPlan {
  const { change, tenantKeys, clock } = deps

  /** Destroys the old keys that no record needs; `true` and the end of the job when these were all. */
  async function destroyEmptied(job: KeyJob): Promise<boolean> {
    const now = clock.now()
    return change(async (tx) => {
      const keys = await lockVaultKeys(tx, tenantId) // behind whoever holds one to write a record
      const active = keys.find(({ state }) => state === 'active')
      const retired = keys.filter(({ state }) => state === 'retired').map(({ id }) => id)
      const needed = await vaultKeysInUse(tx, tenantId, retired)
      const emptied = retired.filter((id) => !needed.has(id))
      const isDone = needed.size === 0 && active !== undefined && !(await hasOtherVaultKeys(tx, tenantId, active.id))
      if (isDone && !(await finishJob(tx, job, new Date(now), owner))) throw new LostJobError()
      if (emptied.length > 0) await tenantKeys.destroy(tx, tenantId, emptied)
      const events = emptied.map((id) => ({
        tenantId,
        actor: { id: 'system' },
        requestId: newId('req', now),
        action: 'tenant_keys.destroy',
        outcome: 'success' as const,
        object: { kind: 'key', id },
        detail: { purpose: 'vault' },
      }))
      return { result: isDone, events }
    })
  }

  return {
    sources: [recordsToReEncrypt(deps, tenantId)],
    async settle(job): Promise<Verdict> {
      const waitedMs = job.emptiedAt === null ? 0 : clock.now() - job.emptiedAt.getTime()
      if (waitedMs < SETTLE_MS) return { waitMs: SETTLE_MS - waitedMs, emptied: true }
      try {
        return (await destroyEmptied(job)) ? 'done' : { waitMs: STUCK_MS, emptied: true }
      } catch (err) {
        if (err instanceof LostJobError) return { waitMs: RETRY_MS }
        throw err
      }
    },
  }
}

function rewrap(deps: KeyPlanDeps, { tenantId, target }: KeyJob, owner: string): JobPlan {
  const { db, clock } = deps
  const isWhole = tenantId === DEPLOYMENT

  /** No job of the deployment touches the shares of a tenant with a KMS key of its own. */
  const tenantsAfter: TenantsAfter = async (id) => {
    if (isWhole) return tenantsWithoutKmsKey(db, id, TENANTS_AT_ONCE)
    return id === '' ? [tenantId] : []
  }
  const shares = sharesToRewrap(deps, tenantsAfter, target)
  return {
    sources: isWhole ? [keysToRewrap(deps, target), shares] : [shares],
    async settle(job): Promise<Verdict> {
      if (job.unusableCount > 0) return { waitMs: STUCK_MS }
      return (await finishJob(db, job, new Date(clock.now()), owner)) ? 'done' : { waitMs: RETRY_MS }
    },
  }
}

/** What a job of each kind does. */
export function planFor(deps: KeyPlanDeps, job: KeyJob, owner: string): JobPlan {
  return job.kind === 'vault-reencrypt' ? reEncryption(deps, job.tenantId, owner) : rewrap(deps, job, owner)
}
