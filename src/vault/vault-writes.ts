import type { Audit, Caller } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { toHex } from '../core/hex.ts'
import type { Db, Queryable } from '../db/db.ts'
import { contextOf, entryEvent, entryNotFound, expiryOf, type NewEntry, parseNewEntry, publicView } from './entry.ts'
import { insertEntry, markDeleted, moveToVersion, type StoredEntry, type VaultEntry } from './entry-store.ts'
import type { EntryOpener } from './open-entry.ts'
import { digestRecord, type RecordContext, type StoredRecord } from './record.ts'
import type { RecordKeeper, RecordKeeperDeps } from './record-keeper.ts'
import { insertRecord, shredShares } from './record-store.ts'
import { vaultTopicKey } from './share-cache.ts'
import { encodeValues } from './values.ts'

export interface VaultDeps extends RecordKeeperDeps {
  db: Db
  audit: Audit
  /** Ids of the integrations that use an entry; asked within the transaction that deletes it. */
  usersOf: (tx: Queryable, tenantId: string, entryId: string) => Promise<readonly string[]>
}

export interface VaultWrites {
  /** @throws {AppError} `request.invalid`, `kms.unavailable`, `audit.unavailable` */
  seal(caller: Caller, input: NewEntry): Promise<VaultEntry>
  /**
   * Seals new values, or the old ones anew, as the next version; the id stays. New values renew the life of an entry, the
   * only way out of an expired one. The version before stays as it is, older ones are shredded.
   *
   * @throws {AppError} `credential.expired` without new values; `precondition.failed` when it changed meanwhile
   */
  rotate(caller: Caller, id: string, values?: Readonly<Record<string, unknown>>): Promise<VaultEntry>
  /** Deletes an entry and destroys the shares of every version. @throws {AppError} `object.in_use` with the integrations */
  remove(caller: Caller, id: string): Promise<void>
}

interface SealedVersion {
  context: RecordContext
  record: StoredRecord
  /** What the audit row of the write says about the record. */
  detail: { record_sha384: string; expires_at: string | null }
}

/** The changes of the vault: each one is a transaction that its audit row precedes. */
export function createVaultWrites(
  deps: VaultDeps & {
    change: AuditedChange
    keeper: RecordKeeper
    opener: EntryOpener
    forget: (topicKey: string) => void
  },
): VaultWrites {
  const { provider, clock, feed, usersOf, change, keeper, opener, forget } = deps

  async function sealVersion(entry: StoredEntry, plaintext: Bytes): Promise<SealedVersion> {
    const context = contextOf(entry)
    const record = await keeper.seal(context, plaintext).finally(() => wipe(plaintext))
    const digest = toHex(digestRecord(provider, context, record))
    return { context, record, detail: { record_sha384: digest, expires_at: entry.expiresAt?.toISOString() ?? null } }
  }

  return {
    async seal(caller, input) {
      const { entry, metadata } = parseNewEntry(input, caller.tenantId, clock.now())
      const sealed = await sealVersion(entry, encodeValues(input.values))
      return change(async (tx) => {
        await insertEntry(tx, entry, metadata)
        await insertRecord(tx, sealed.context, sealed.record, entry.createdAt)
        const event = entryEvent(caller, entry)
        const detail = { ...event.detail, ...sealed.detail, name: entry.name, ttl_days: entry.ttlDays }
        return { result: publicView(entry), events: [{ ...event, action: 'vault.seal', detail }] }
      })
    },

    async rotate(caller, id, values) {
      const found = await opener.find(caller.tenantId, id)
      const plaintext = values === undefined ? await opener.plaintext(found) : encodeValues(values)
      const updatedAt = new Date(clock.now())
      const expiresAt = values ? expiryOf(found.entry.ttlDays, updatedAt.getTime()) : found.entry.expiresAt
      const version = found.entry.version + 1
      const entry: StoredEntry = { ...found.entry, version, active: true, updatedAt, expiresAt }
      const sealed = await sealVersion(entry, plaintext)
      const topicKey = vaultTopicKey(caller.tenantId, id)
      const rotated = await change(async (tx) => {
        if (!(await moveToVersion(tx, entry))) {
          throw new AppError('precondition.failed', 'The entry changed at the same time; look at it and try again.')
        }
        await insertRecord(tx, sealed.context, sealed.record, updatedAt)
        await shredShares(tx, caller.tenantId, id, { below: version - 1 })
        await feed.announce(tx, 'vault', topicKey)
        const event = entryEvent(caller, entry)
        const detail = { ...event.detail, ...sealed.detail, new_values: values !== undefined }
        return { result: publicView(entry), events: [{ ...event, action: 'vault.rotate', detail }] }
      })
      forget(topicKey)
      return rotated
    },

    async remove(caller, id) {
      const { entry } = await opener.find(caller.tenantId, id)
      const topicKey = vaultTopicKey(caller.tenantId, id)
      await change(async (tx) => {
        if (!(await markDeleted(tx, caller.tenantId, id, new Date(clock.now())))) throw entryNotFound()
        const integrations = await usersOf(tx, caller.tenantId, id) // behind those that held the entry while they began
        if (integrations.length > 0) {
          throw new AppError('object.in_use', 'Integrations use this credential.', { details: { integrations } })
        }
        await shredShares(tx, caller.tenantId, id)
        await feed.announce(tx, 'vault', topicKey)
        return { result: undefined, events: [{ ...entryEvent(caller, entry), action: 'vault.delete' }] }
      })
      forget(topicKey)
    },
  }
}
