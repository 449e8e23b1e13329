import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { insertKeys } from './stored-key.ts'
import { findSets, type KeySetName, lockKeySets, makeKeySet, retireActiveSet } from './tenant-key-sets.ts'

export interface KeySetDeps {
  db: Db
  wrapper: KeyWrapper
  provider: CryptoProvider
  audit: Audit
  clock: Clock
  feed: Pick<ChangeFeed, 'announce' | 'on' | 'live'>
}

/** The id of the new leading key, and of the one before it; `null` when there was none. */
export interface RotatedKeySet {
  readonly keyId: string
  readonly retiredKeyId: string | null
}

/** The name under which the active set is cached and its changes are announced. */
export function keySetTopic(tenantId: string, set: KeySetName): string {
  return `${tenantId}/${set}`
}

/** The audit row of what became of a set of keys; `id` is that of its leading key. */
export function keySetEvent(
  action: 'tenant_keys.create' | 'tenant_keys.rotate' | 'tenant_keys.export',
  caller: Pick<AuditEvent, 'tenantId' | 'actor' | 'requestId'>,
  set: KeySetName,
  id: string,
  retiredKeyId: string | null = null,
): AuditEvent {
  const detail = { purpose: set, ...(retiredKeyId !== null && { retired_key_id: retiredKeyId }) }
  return { ...caller, action, outcome: 'success', object: { kind: 'key', id }, detail }
}

/** Makes and replaces sets of keys; each change is on record. */
export function createKeySetChanges(deps: KeySetDeps) {
  const { clock, feed } = deps
  const change = createAuditedChange(deps)

  return {
    /** Makes the first set, unless another request or process was faster: then that one serves. */
    async makeFirst(tenantId: string, set: KeySetName): Promise<void> {
      const rows = await makeKeySet(deps, tenantId, set, clock.now())
      await change(async (tx) => {
        await lockKeySets(tx, tenantId)
        const known = await findSets(tx, tenantId, set, { state: 'active' })
        if (known.length > 0) return { result: undefined, events: [] }
        await insertKeys(tx, rows)
        const system = { tenantId, actor: { id: 'system' } }
        return { result: undefined, events: [keySetEvent('tenant_keys.create', system, set, rows[0].id)] }
      })
    },

    /** Makes a new set active and retires the one before. */
    async rotate(caller: Caller, tenantId: string, set: KeySetName): Promise<RotatedKeySet> {
      const rows = await makeKeySet(deps, tenantId, set, clock.now())
      const keyId = rows[0].id
      return change(async (tx) => {
        await lockKeySets(tx, tenantId)
        const retiredKeyId = await retireActiveSet(tx, tenantId, set, clock.now())
        await insertKeys(tx, rows)
        await feed.announce(tx, 'tenant_key', keySetTopic(tenantId, set))
        const events = [keySetEvent('tenant_keys.rotate', caller, set, keyId, retiredKeyId)]
        return { result: { keyId, retiredKeyId }, events }
      })
    },
  }
}
