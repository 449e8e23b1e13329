import { wipe } from '../core/bytes.ts'
import type { Queryable } from '../db/db.ts'
import type { MovableRow, RowSource } from '../keys/key-job.ts'
import { type MoveRecordDeps, moveRecord } from './move-record.ts'
import type { StoredRecord } from './record.ts'
import { shareContext } from './share-cache.ts'
import { firstOnOtherKmsKeys, type LiveVersion, versionName, versionsOnOtherKmsKeys } from './version-store.ts'

/** Whose shares: some of the tenants after `id`, in order; none when there are no more. */
export type TenantsAfter = (id: string) => Promise<readonly string[]>

/**
 * The shares of vault records that are still wrapped under another KMS key than `kmsKeyId`. The share stays, and with it the
 * record, in split custody too.
 */
export function sharesToRewrap(
  deps: MoveRecordDeps & { db: Queryable },
  tenantsAfter: TenantsAfter,
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

  async function pageOf(tenantId: string, within: string | null, limit: number): Promise<MovableRow[]> {
    const versions = await versionsOnOtherKmsKeys(db, tenantId, kmsKeyId, within, limit)
    return versions.map(({ position, version }) => movable(`${tenantId}/${position}`, version))
  }

  return {
    name: 'shares',
    async page(after, limit) {
      const slash = after?.indexOf('/') ?? 0
      let last = after?.slice(0, slash) ?? ''
      const rest = after === null ? [] : await pageOf(last, after.slice(slash + 1), limit)
      if (rest.length > 0) return rest
      for (;;) {
        const tenantIds = await tenantsAfter(last)
        const next = tenantIds.length > 0 ? await firstOnOtherKmsKeys(db, tenantIds, kmsKeyId) : undefined
        const rows = next === undefined ? [] : await pageOf(next, null, limit)
        last = next ?? tenantIds.at(-1) ?? ''
        if (rows.length > 0 || tenantIds.length === 0) return rows
      }
    },
  }
}
