import { wipe } from '../core/bytes.ts'
import type { KemPublicKey } from '../crypto/provider.ts'
import type { Queryable } from '../db/db.ts'
import type { MoveOutcome, RowSource } from '../keys/key-job.ts'
import type { TenantKeys } from '../keys/tenant-keys.ts'
import { tenantKmsKey } from '../tenants/tenants.ts'
import { type MoveRecordDeps, moveRecord } from './move-record.ts'
import { openRecord, SHARE_BYTES, type StoredRecord, sealRecord } from './record.ts'
import { shareContext } from './share-cache.ts'
import {
  heldVersionsOnOtherVaultKeys,
  type LiveVersion,
  versionName,
  versionsOnOtherVaultKeys,
} from './version-store.ts'

export interface ReEncryptDeps extends MoveRecordDeps {
  db: Queryable
  tenantKeys: TenantKeys
}

interface Target {
  keyId: string
  kem: KemPublicKey
  kmsKeyId: string
}

async function targetOf({ db, tenantKeys, wrapper }: ReEncryptDeps, tenantId: string): Promise<Target> {
  const { keyId, kem } = await tenantKeys.vaultKey(tenantId)
  return { keyId, kem, kmsKeyId: (await tenantKmsKey(db, tenantId)) ?? wrapper.defaultKeyId }
}

/** Shares are unwrapped past the cache, which is for traffic. */
async function reSeal(
  { tenantKeys, wrapper, provider }: ReEncryptDeps,
  { context, record }: LiveVersion,
  to: Target,
  custodyShare: Uint8Array | undefined,
): Promise<StoredRecord> {
  const kem = await tenantKeys.kemPrivateKey(context.tenantId, record.vaultKeyId)
  const oldShare = await wrapper.unwrap(record.shareKmsKeyId, record.wrappedShare, shareContext(context))
  const share = provider.randomBytes(SHARE_BYTES)
  let plaintext: Uint8Array | undefined
  try {
    plaintext = openRecord(provider, kem, { share: oldShare, custodyShare }, context, record)
    const wrap = await wrapper.wrap(to.kmsKeyId, share, shareContext(context))
    const sealed = sealRecord(provider, to.kem, { share, custodyShare }, context, plaintext)
    return { ...sealed, vaultKeyId: to.keyId, shareKmsKeyId: wrap.keyId, wrappedShare: wrap.wrapped }
  } finally {
    wipe(oldShare, share)
    if (plaintext) wipe(plaintext)
  }
}

function moveToVaultKey(
  deps: ReEncryptDeps,
  version: LiveVersion,
  to: Target,
  custodyShare?: Uint8Array,
): Promise<MoveOutcome> {
  return moveRecord(deps, version, {
    action: 'vault.reencrypt',
    make: () => reSeal(deps, version, to, custodyShare),
    detail: ({ vaultKeyId }) => ({ vault_key_id: vaultKeyId }),
    hold: (tx) => deps.tenantKeys.hold(tx, version.context.tenantId, to.keyId),
  })
}

/**
 * Moves a record in split custody to the active vault key while its holder's share is here, and whatever else of its entry is
 * in custody under an old key. Does nothing to what is there already; what another share guards stays.
 *
 * @throws {AppError} `kms.unavailable`, `database.unavailable`, `audit.unavailable`: it moves the next time
 */
export async function reEncryptHeldRecord(
  deps: ReEncryptDeps,
  { context: { tenantId, entryId } }: LiveVersion,
  custodyShare: Uint8Array,
): Promise<void> {
  const to = await targetOf(deps, tenantId)
  const versions = await heldVersionsOnOtherVaultKeys(deps.db, tenantId, entryId, to.keyId)
  for (const version of versions) await moveToVaultKey(deps, version, to, custodyShare)
}

/**
 * The records of a tenant that are still under an old vault key, current versions and kept ones. Each is decapsulated with
 * the old key and sealed anew to the active one, with a share, an encapsulation and a nonce of its own. What only a holder
 * can open stays.
 */
export function recordsToReEncrypt(deps: ReEncryptDeps, tenantId: string): RowSource {
  return {
    name: 'records',
    async page(after, limit) {
      const to = await targetOf(deps, tenantId)
      const versions = await versionsOnOtherVaultKeys(deps.db, tenantId, to.keyId, after, limit)
      return versions.map(({ version, position }) => ({
        position,
        name: versionName(version.context),
        move: () => moveToVaultKey(deps, version, to),
      }))
    },
  }
}
