import type { Audit, Caller } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { toHex } from '../core/hex.ts'
import type { Db, Queryable } from '../db/db.ts'
import { type CustodyOptions, type CustodyShare, withNewShare } from './custody.ts'
import { contextOf, entryEvent, entryNotFound, expiryOf, type NewEntry, parseNewEntry, publicView } from './entry.ts'
import { insertEntry, markDeleted, moveToVersion, type StoredEntry, type VaultEntry } from './entry-store.ts'
import type { EntryOpener, FoundEntry } from './open-entry.ts'
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
  /**
   * Asked before new values replace those of an entry. Absent: what is wrong with them shows at their first use.
   *
   * @throws {AppError} what the caller is to be told
   */
  judgeValues?: (tenantId: string, entryId: string, values: Readonly<Record<string, unknown>>) => Promise<void>
}

/** An entry as it was written, with the share where a new one was made: the only copy, whoever asked for it wipes it. */
export type WrittenEntry = VaultEntry & { readonly custodyShare?: CustodyShare }

export interface VaultWrites {
  /** @throws {AppError} `request.invalid`, `kms.unavailable`, `audit.unavailable` */
  seal(caller: Caller, input: NewEntry, custody?: Pick<CustodyOptions, 'enable'>): Promise<WrittenEntry>
  /**
   * Seals new values, or the old ones anew, as the next version; the id stays. New values renew the life of an entry, the
   * only way out of an expired one. The version before stays as it is, older ones are shredded.
   *
   * An entry in split custody stays in it: under the same share, which must open the version before, or under a new one with
   * `enable`. With new values `enable` needs no share: the way out of a lost one. Every version before is shredded.
   *
   * @throws {AppError} `credential.expired` without new values; `precondition.failed` when it changed meanwhile;
   * `custody.required`, and for a share `rate.limited`, `custody.rejected`, `request.invalid`; what `judgeValues` throws
   */
  rotate(
    caller: Caller,
    id: string,
    values?: Readonly<Record<string, unknown>>,
    custody?: CustodyOptions,
  ): Promise<WrittenEntry>
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
  const { provider, audit, clock, feed, tenantKeys, usersOf, judgeValues, change, keeper, opener, forget } = deps

  async function sealVersion(entry: StoredEntry, plaintext: Bytes, share?: CustodyShare): Promise<SealedVersion> {
    const context = contextOf(entry)
    const record = await keeper.seal(context, plaintext, share).finally(() => wipe(plaintext))
    const digest = toHex(digestRecord(provider, context, record))
    return { context, record, detail: { record_sha384: digest, expires_at: entry.expiresAt?.toISOString() ?? null } }
  }

  /** What is to be sealed anew. A share is proved also where new values are given: its holder would lose the entry else. */
  async function nextPlaintext(
    caller: Caller,
    found: FoundEntry,
    values: Readonly<Record<string, unknown>> | undefined,
    { share, enable = false }: CustodyOptions,
  ): Promise<Bytes> {
    const given = values === undefined ? undefined : encodeValues(values)
    const needsShare = found.record.custody === 1 && !(given && enable)
    if (given && !share && !needsShare) return given
    const opened = await opener.plaintext(found, caller, share, { evenExpired: given !== undefined })
    if (!given) return opened
    wipe(opened)
    return given
  }

  /** As {@link nextPlaintext}; a share that does not open the entry is on record before that is said. */
  async function auditedNextPlaintext(
    caller: Caller,
    found: FoundEntry,
    values: Readonly<Record<string, unknown>> | undefined,
    custody: CustodyOptions,
  ): Promise<Bytes> {
    try {
      return await nextPlaintext(caller, found, values, custody)
    } catch (err) {
      if (!custody.share) throw err
      const event = entryEvent(caller, found.entry)
      const detail = { ...event.detail, code: err instanceof AppError ? err.code : 'internal' }
      await audit.record({ ...event, action: 'vault.rotate', outcome: 'failure', detail })
      throw err
    }
  }

  return {
    async seal(caller, input, { enable = false } = {}) {
      const { entry, metadata } = parseNewEntry(input, caller.tenantId, clock.now(), enable ? 1 : 0)
      const plaintext = encodeValues(input.values)
      return withNewShare(provider, enable, async (share) => {
        const sealed = await sealVersion(entry, plaintext, share)
        return change(async (tx) => {
          await insertEntry(tx, entry, metadata)
          await tenantKeys.hold(tx, caller.tenantId, sealed.record.vaultKeyId)
          await insertRecord(tx, sealed.context, sealed.record, entry.createdAt)
          const event = entryEvent(caller, entry)
          const detail = { ...event.detail, ...sealed.detail, name: entry.name, ttl_days: entry.ttlDays }
          return { result: publicView(entry), events: [{ ...event, action: 'vault.seal', detail }] }
        })
      })
    },

    async rotate(caller, id, values, custody = {}) {
      const { enable = false } = custody
      const found = await opener.find(caller.tenantId, id)
      if (values) await judgeValues?.(caller.tenantId, id, values)
      const plaintext = await auditedNextPlaintext(caller, found, values, custody)
      const updatedAt = new Date(clock.now())
      const expiresAt = values ? expiryOf(found.entry.ttlDays, updatedAt.getTime()) : found.entry.expiresAt
      const version = found.entry.version + 1
      const next = { version, custody: enable ? 1 : found.record.custody, active: true, updatedAt, expiresAt }
      const entry: StoredEntry = { ...found.entry, ...next }
      const topicKey = vaultTopicKey(caller.tenantId, id)
      const rotated = await withNewShare(provider, enable, async (newShare) => {
        const sealed = await sealVersion(entry, plaintext, newShare ?? custody.share)
        return change(async (tx) => {
          if (!(await moveToVersion(tx, entry))) {
            throw new AppError('precondition.failed', 'The entry changed at the same time; look at it and try again.')
          }
          await tenantKeys.hold(tx, caller.tenantId, sealed.record.vaultKeyId)
          await insertRecord(tx, sealed.context, sealed.record, updatedAt)
          // Beside a record in split custody stays none that opens without its share, nor one that only a holder could move.
          await shredShares(tx, caller.tenantId, id, { below: entry.custody === 1 ? version : version - 1 })
          await feed.announce(tx, 'vault', topicKey)
          const event = entryEvent(caller, entry)
          const detail = { ...event.detail, ...sealed.detail, new_values: values !== undefined, new_share: enable }
          return { result: publicView(entry), events: [{ ...event, action: 'vault.rotate', detail }] }
        })
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
