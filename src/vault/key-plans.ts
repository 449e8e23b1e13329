import type { AuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { newId } from '../core/ids.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import { finishJob } from '../keys/job-store.ts'
import type { JobPlan, KeyJob, Verdict } from '../keys/key-job.ts'
import { countKeysByKmsKey, keysToRewrap } from '../keys/rewrap-keys.ts'
import { lockVaultKeys } from '../keys/rotate-vault-key.ts'
import { DEPLOYMENT } from '../keys/stored-key.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { nextTenantWithoutKmsKey, tenantsWithOwnKmsKey } from '../tenants/kms-keys.ts'
import { recordsToReEncrypt } from './re-encrypt.ts'
import { sharesToRewrap, type TenantSequence } from './rewrap-shares.ts'
import { countByKmsKey, countByVaultKey, type TenantChoice } from './version-store.ts'

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

/** Thrown to roll back the destruction of keys that a record came to need meanwhile. */
class StillNeededError extends Error {}

function reEncryption(deps: KeyPlanDeps, tenantId: string, owner: string): JobPlan {
  const { db, change, tenantKeys, clock } = deps

  /** Destroys the old keys, unless a record needs one: then nothing happens. */
  async function destroyOldKeys(job: KeyJob): Promise<boolean> {
    const now = clock.now()
    try {
      await change(async (tx) => {
        const keys = await lockVaultKeys(tx, tenantId) // behind whoever holds one to write a record
        const old = keys.filter(({ state }) => state === 'retired').map(({ id }) => id)
        const counts = await countByVaultKey(tx, tenantId)
        if (counts.some(({ keyId }) => old.includes(keyId))) throw new StillNeededError()
        if (!(await finishJob(tx, job, new Date(now), owner))) throw new StillNeededError()
        await tenantKeys.destroy(tx, tenantId, old)
        const events = old.map((id) => ({
          tenantId,
          actor: { id: 'system' },
          requestId: newId('req', now),
          action: 'tenant_keys.destroy',
          outcome: 'success' as const,
          object: { kind: 'key', id },
          detail: { purpose: 'vault' },
        }))
        return { result: undefined, events }
      })
      return true
    } catch (err) {
      if (err instanceof StillNeededError) return false
      throw err
    }
  }

  return {
    sources: [recordsToReEncrypt(deps, tenantId)],
    async settle(job): Promise<Verdict> {
      const { keyId: active } = await tenantKeys.vaultKey(tenantId)
      const old = (await countByVaultKey(db, tenantId)).filter(({ keyId }) => keyId !== active)
      const inCustody = old.reduce((sum, count) => sum + count.inCustody, 0)
      const movable = old.reduce((sum, count) => sum + count.live, 0) - inCustody
      if (movable > job.unusableCount) return 'again'
      if (movable + inCustody > 0) return { waitMs: STUCK_MS }
      const waitedMs = job.emptiedAt === null ? 0 : clock.now() - job.emptiedAt.getTime()
      if (waitedMs < SETTLE_MS) return { waitMs: SETTLE_MS - waitedMs, emptied: true }
      return (await destroyOldKeys(job)) ? 'done' : 'again'
    },
  }
}

function rewrap(deps: KeyPlanDeps, { tenantId, target }: KeyJob, owner: string): JobPlan {
  const { db, clock } = deps
  const isWhole = tenantId === DEPLOYMENT

  /** Shares are under the tenant's own KMS key where it has one, and no job of the deployment touches these. */
  async function tenants(): Promise<TenantChoice> {
    if (!isWhole) return { only: tenantId }
    return { allBut: (await tenantsWithOwnKmsKey(db)).map((own) => own.tenantId) }
  }

  const sequence: TenantSequence = {
    next: async (id) => (isWhole ? nextTenantWithoutKmsKey(db, id) : id === '' ? tenantId : undefined),
  }
  const shares = sharesToRewrap(deps, sequence, target)
  return {
    sources: isWhole ? [keysToRewrap(deps, target), shares] : [shares],
    async settle(job): Promise<Verdict> {
      const counts = [...(isWhole ? await countKeysByKmsKey(db) : []), ...(await countByKmsKey(db, await tenants()))]
      const left = counts.filter(({ keyId }) => keyId !== target).reduce((sum, { wraps }) => sum + wraps, 0)
      if (left > job.unusableCount) return 'again'
      if (left > 0) return { waitMs: STUCK_MS }
      return (await finishJob(db, job, new Date(clock.now()), owner)) ? 'done' : 'again'
    },
  }
}

/** What a job of each kind does. */
export function planFor(deps: KeyPlanDeps, job: KeyJob, owner: string): JobPlan {
  return job.kind === 'vault-reencrypt' ? reEncryption(deps, job.tenantId, owner) : rewrap(deps, job, owner)
}
