import { createAuditedChange } from '../audit/audited-change.ts'
import { AppError } from '../core/errors.ts'
import { isId, NO_TENANT, newId } from '../core/ids.ts'
import type { Queryable } from '../db/db.ts'
import { findJob, isJobRecent, openJob } from '../keys/job-store.ts'
import type { KeyJob } from '../keys/key-job.ts'
import { probeWrapper } from '../keys/probe-wrapper.ts'
import { countKeysByKmsKey, isKmsKeyOfKeys } from '../keys/rewrap-keys.ts'
import { DEPLOYMENT } from '../keys/stored-key.ts'
import { setTenantKmsKey, tenantsWithOwnKmsKey } from '../tenants/kms-keys.ts'
import type { KeyJobsDeps } from './key-jobs.ts'
import { countByKmsKey, isKmsKeyOfShares } from './version-store.ts'

/** How much one KMS key guards. */
export interface KmsKeyUse {
  kmsKeyId: string
  /** New wraps of the deployment, and of tenants without a key of their own, are under it. */
  isDefault: boolean
  keys: number
  shares: number
  /** Tenants whose shares are to be under it. */
  tenants: readonly string[]
}

export interface KmsRewrap {
  /**
   * Makes a KMS key the one for new wraps and begins, or goes on with, the job that moves the old ones: all of the
   * deployment, or the shares of one tenant. With `local` the key is made where the ring has none with that id; with a KMS
   * it must be there already, and servers use it for new wraps once they are started with it.
   *
   * @throws {AppError} `kms.unavailable`; `object.not_found` for a tenant that is not there; `request.invalid`
   */
  begin(input: { to: string; tenantId?: string | undefined }): Promise<KeyJob>
  /** The job of the deployment, or of a tenant, as it is now. */
  find(tenantId?: string): Promise<KeyJob | undefined>
  uses(): Promise<KmsKeyUse[]>
  /**
   * Removes a key from the ring once nothing is wrapped under it.
   *
   * @throws {AppError} `object.in_use` while rows are, or for a minute after a job; `object.not_found`; `request.invalid`
   * where a KMS keeps the keys
   */
  removeKey(kmsKeyId: string): Promise<void>
}

/** Milliseconds that a request may take between wrapping and writing, twice over. */
const IN_FLIGHT_MS = 60_000

/** Moves wraps between KMS keys, for the operator of the host. */
export function createKmsRewrap(deps: Omit<KeyJobsDeps, 'pause' | 'onRow' | 'signal'>): KmsRewrap {
  const { db, wrapper, feed, clock } = deps
  const change = createAuditedChange(deps)

  /** One process at a time changes the ring. */
  async function lockRing(tx: Queryable): Promise<void> {
    await tx.query(`select pg_advisory_xact_lock(hashtext('sealwire/key-ring'))`)
  }

  const eventOf = (action: 'kms.rewrap' | 'kms.remove_key', kmsKeyId: string, tenantId = NO_TENANT) => ({
    tenantId,
    actor: { id: 'operator' },
    requestId: newId('req', clock.now()),
    action,
    outcome: 'success' as const,
    object: { kind: 'kms_key', id: kmsKeyId },
    detail: { kms_key_id: kmsKeyId },
  })

  async function uses(): Promise<KmsKeyUse[]> {
    const [keys, shares, own] = [await countKeysByKmsKey(db), await countByKmsKey(db), await tenantsWithOwnKmsKey(db)]
    const named = [...keys, ...shares].map(({ keyId }) => keyId)
    const ids = new Set([...named, ...own.map(({ kmsKeyId }) => kmsKeyId), ...(wrapper.ring?.ids() ?? [])])
    const wraps = (counts: typeof keys, id: string) => counts.find(({ keyId }) => keyId === id)?.wraps ?? 0
    return [...ids].sort().map((kmsKeyId) => ({
      kmsKeyId,
      isDefault: kmsKeyId === wrapper.defaultKeyId,
      keys: wraps(keys, kmsKeyId),
      shares: wraps(shares, kmsKeyId),
      tenants: own.filter((one) => one.kmsKeyId === kmsKeyId).map(({ tenantId }) => tenantId),
    }))
  }

  /** What a KMS key guards, or is to guard, in words. */
  async function needsOf(tx: Queryable, kmsKeyId: string): Promise<string[]> {
    const tenants = (await tenantsWithOwnKmsKey(tx)).filter((own) => own.kmsKeyId === kmsKeyId)
    return [
      ...((await isKmsKeyOfKeys(tx, kmsKeyId)) ? ['keys'] : []),
      ...((await isKmsKeyOfShares(tx, kmsKeyId)) ? ['shares'] : []),
      ...(tenants.length > 0 ? [`${tenants.length} tenants`] : []),
    ]
  }

  return {
    async begin({ to, tenantId }) {
      if (tenantId !== undefined && !isId('ten', tenantId)) throw new AppError('object.not_found', 'No such tenant.')
      const target = wrapper.ring ? to : await probeWrapper(wrapper, to)
      return change(async (tx) => {
        await lockRing(tx)
        if (tenantId !== undefined && !(await setTenantKmsKey(tx, tenantId, target))) {
          throw new AppError('object.not_found', 'No such tenant.')
        }
        await wrapper.ring?.add(target, { primary: tenantId === undefined })
        await feed.announce(tx, 'kms', target)
        const now = new Date(clock.now())
        const id = newId('job', now.getTime())
        const job = await openJob(tx, { id, kind: 'kms-rewrap', tenantId: tenantId ?? DEPLOYMENT, target }, now)
        return { result: job, events: [eventOf('kms.rewrap', target, tenantId)] }
      })
    },
    find: (tenantId = DEPLOYMENT) => findJob(db, 'kms-rewrap', tenantId),
    uses,
    async removeKey(kmsKeyId) {
      const { ring } = wrapper
      if (!ring) throw new AppError('request.invalid', 'The keys are with the KMS: disable or delete them there.')
      await ring.refresh()
      await change(async (tx) => {
        await lockRing(tx)
        const since = new Date(clock.now() - IN_FLIGHT_MS)
        if (await isJobRecent(tx, 'kms-rewrap', since)) {
          const message =
            'A re-wrap runs, or ended less than a minute ago: requests may still use the key. Try again then.'
          throw new AppError('object.in_use', message)
        }
        const needs = await needsOf(tx, kmsKeyId)
        if (needs.length > 0) {
          const message = `${needs.join(', ')} need ${kmsKeyId}: re-wrap them first. See: sealwire keys kms list`
          throw new AppError('object.in_use', message)
        }
        await ring.remove(kmsKeyId)
        await feed.announce(tx, 'kms', kmsKeyId)
        return { result: undefined, events: [eventOf('kms.remove_key', kmsKeyId)] }
      })
    },
  }
}
