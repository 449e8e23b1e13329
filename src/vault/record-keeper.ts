import { type Bytes, wipe } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Queryable } from '../db/db.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'
import type { KeyWrapper } from '../kms/kms.ts'
import { tenantKmsKey } from '../tenants/tenants.ts'
import type { CustodyShare } from './custody.ts'
import { openRecord, type RecordContext, SHARE_BYTES, type StoredRecord, sealRecord } from './record.ts'
import type { RecordRow } from './record-store.ts'
import { createShareCache, shareContext } from './share-cache.ts'

export interface RecordKeeperDeps {
  db: Queryable
  tenantKeys: TenantKeys
  wrapper: KeyWrapper
  provider: CryptoProvider
  clock: Clock
  feed: ChangeFeed
}

/** A record in split custody needs `custodyShare`, any other refuses it; it is the caller's to wipe. */
export interface RecordKeeper {
  seal(context: RecordContext, plaintext: Bytes, custodyShare?: CustodyShare): Promise<StoredRecord>
  /** The caller wipes the plaintext. @throws {AppError} `vault.unavailable`, `kms.unavailable` */
  open(context: RecordContext, record: RecordRow, custodyShare?: CustodyShare): Promise<Bytes>
}

/** Joins the pure record format to the keys it needs: the tenant's vault key and the share that the key wrapper guards. */
export function createRecordKeeper(deps: RecordKeeperDeps): RecordKeeper {
  const { db, tenantKeys, wrapper, provider } = deps
  const shares = createShareCache(deps)

  return {
    async seal(context, plaintext, custodyShare) {
      const { keyId: vaultKeyId, kem } = await tenantKeys.vaultKey(context.tenantId)
      const kmsKeyId = (await tenantKmsKey(db, context.tenantId)) ?? wrapper.defaultKeyId
      const share = provider.randomBytes(SHARE_BYTES)
      const { keyId: shareKmsKeyId, wrapped: wrappedShare } = await wrapper.wrap(kmsKeyId, share, shareContext(context))
      const shares = { share, custodyShare: custodyShare?.reveal() }
      const sealed = sealRecord(provider, kem, shares, context, plaintext)
      wipe(share)
      return { ...sealed, vaultKeyId, shareKmsKeyId, wrappedShare }
    },

    async open(context, { wrappedShare, ...record }, custodyShare) {
      if (!wrappedShare) throw new AppError('vault.unavailable', 'The vault entry could not be opened.')
      const kem = await tenantKeys.kemPrivateKey(context.tenantId, record.vaultKeyId)
      const share = await shares.unwrap(context, { ...record, wrappedShare })
      try {
        return openRecord(provider, kem, { share, custodyShare: custodyShare?.reveal() }, context, record)
      } finally {
        wipe(share)
      }
    },
  }
}
