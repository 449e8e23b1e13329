import type { Audit, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import type { Db } from '../db/db.ts'
import { findJob } from '../keys/job-store.ts'
import type { KeyJob } from '../keys/key-job.ts'
import { rotateVaultKey } from '../keys/rotate-vault-key.ts'
import { findKeys, type KeyState } from '../keys/stored-key.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'
import { countByVaultKey } from './version-store.ts'

/** A vault key with what it guards. */
export interface VaultKey {
  id: string
  state: KeyState
  createdAt: Date
  /** When it stopped being the one that is sealed to. */
  retiredAt: Date | null
  /** Live records under it. */
  records: number
  /** Of these, the ones in split custody: they move when their holder opens them. */
  inCustody: number
}

export interface VaultKeys {
  /** Newest first, counted in one snapshot, with the job that empties the old ones. */
  list(tenantId: string): Promise<{ keys: VaultKey[]; job: KeyJob | undefined }>
  /** Makes a new key active and begins to move what the old ones guard. @throws {AppError} as {@link rotateVaultKey} */
  rotate(caller: Caller): Promise<{ keyId: string; retiredKeyId: string | null }>
}

/** Keeps the keys of tenants' vaults. */
export function createVaultKeys(deps: { db: Db; audit: Audit; tenantKeys: TenantKeys; clock: Clock }): VaultKeys {
  const { db } = deps
  const change = createAuditedChange(deps)
  return {
    async list(tenantId) {
      const counts = new Map((await countByVaultKey(db, tenantId)).map((count) => [count.keyId, count]))
      const keys = await findKeys(db, tenantId, { purpose: 'vault-key' })
      return {
        keys: keys.reverse().map(({ id, state, notBefore, notAfter }) => ({
          id,
          state,
          createdAt: notBefore,
          retiredAt: notAfter,
          records: counts.get(id)?.live ?? 0,
          inCustody: counts.get(id)?.inCustody ?? 0,
        })),
        job: await findJob(db, 'vault-reencrypt', tenantId),
      }
    },
    rotate: (caller) => rotateVaultKey({ ...deps, change }, caller, caller.tenantId),
  }
}
