import { wipe } from '../core/bytes.ts'
import type { Queryable } from '../db/db.ts'
import type { MovableRow, RowSource } from '../keys/key-job.ts'
import { type MoveRecordDeps, moveRecord } from './move-record.ts'
import type { StoredRecord } from './record.ts'
import { shareContext } from './share-cache.ts'
import { type LiveVersion, versionName, versionsOnOtherKmsKeys } from './version-store.ts'

/** Whose shares, one tenant after the other: the one after `id`, or the first after nothing. */
export interface TenantSequence {
  next(id: string): Promise<string | undefined>
}

/**
 * The shares of vault records that are still wrapped under another KMS key than `kmsKeyId`. The share stays, and with it the
 * record, in split custody too.
 */
export function sharesToRewrap(
  deps: MoveRecordDeps & { db: Queryable },
  tenants: TenantSequence,
  kmsKeyId: string,
): RowSource {
  const { db, wrapper } = deps

  async function rewrap({ context, record }: LiveVersion): Promise<StoredRecord> {
    const share = await wrapper.unwrap(record.shareKmsKeyId, record.wrappedShare, shareContext(context))
    try {
      const { keyId: shareKmsKeyId, wrapped: wrappedShare } = await wrapper.wrap(kmsKeyId, share, shareContext(context))
      return { ...record, shareKmsKeyId, wrappedShare }
    } finally {
      wipe(share)
    }
  }

  const movable = (position: string, version: LiveVersion): MovableRow => ({
    position,
    name: versionName(version.context),
    move: () =>
      moveRecord(deps, version, {
        action: 'vault.rewrap',
        make: () => rewrap(version),
        detail: ({ shareKmsKeyId }) => ({ kms_key_id: shareKmsKeyId }),
      }),
  })

  return {
    name: 'shares',
    async page(after, limit) {
      const slash = after?.indexOf('/') ?? 0
      let tenantId = after === null ? await tenants.next('') : after.slice(0, slash)
      let within = after === null ? null : after.slice(slash + 1)
      while (tenantId !== undefined) {
        const versions = await versionsOnOtherKmsKeys(db, tenantId, kmsKeyId, within, limit)
        if (versions.length > 0) return versions.map((one) => movable(`${tenantId}/${one.position}`, one.version))
        tenantId = await tenants.next(tenantId)
        within = null
      }
      return []
    },
  }
}
