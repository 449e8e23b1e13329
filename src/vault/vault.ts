import type { Audit, Caller } from '../audit/audit.ts'
import { type Bytes, wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { toHex } from '../core/hex.ts'
import { isUuid } from '../core/ids.ts'
import { createCache } from '../db/cache.ts'
import type { Db } from '../db/db.ts'
import { createAuditedChange } from '../tenants/audited-change.ts'
import { contextOf, expiryOf, type NewEntry, parseNewEntry, publicView } from './entry.ts'
import {
  findEntry,
  insertEntry,
  isExpired,
  listEntries,
  markAccessed,
  markDeleted,
  moveToVersion,
  type StoredEntry,
  type VaultEntry,
} from './entry-store.ts'
import { digestRecord, type RecordContext, type StoredRecord } from './record.ts'
import { createRecordKeeper, type RecordKeeperDeps } from './record-keeper.ts'
import {
  findCurrentRecord,
  insertRecord,
  listVersions,
  type RecordRow,
  shredBelow,
  type VaultVersion,
} from './record-store.ts'
import { vaultTopicKey } from './share-cache.ts'
import { decodeValues, encodeValues } from './values.ts'

export type { NewEntry } from './entry.ts'
export type { VaultEntry } from './entry-store.ts'
export type { VaultVersion } from './record-store.ts'

export interface OpenedEntry {
  version: number
  values: Record<string, unknown>
}

/** What the pool and integrations need to know at every call. */
export interface CurrentVersion {
  version: number
  credentialType: string
  expiresAt: Date | null
}

/**
 * Keeps credentials sealed. A missing entry, a deleted one and another tenant's are `object.not_found` alike; a record that
 * does not open is `vault.unavailable` for every reason alike.
 */
export interface Vault {
  /** @throws {AppError} `request.invalid`, `kms.unavailable`, `audit.unavailable` */
  seal(caller: Caller, input: NewEntry): Promise<VaultEntry>
  /** Returns the values, after the audit row that says so. @throws {AppError} `credential.expired` */
  unseal(caller: Caller, id: string): Promise<OpenedEntry & { credentialType: string }>
  list(tenantId: string): Promise<VaultEntry[]>
  get(tenantId: string, id: string): Promise<VaultEntry>
  versions(tenantId: string, id: string): Promise<VaultVersion[]>
  /**
   * Seals new values, or the old ones anew, as the next version; the id stays. New values renew the life of an entry, the
   * only way out of an expired one. The version before stays as it is, older ones are shredded.
   *
   * @throws {AppError} `credential.expired` without new values; `precondition.failed` when it changed meanwhile
   */
  rotate(caller: Caller, id: string, values?: Readonly<Record<string, unknown>>): Promise<VaultEntry>
  /** Deletes an entry and destroys the shares of every version. @throws {AppError} `object.in_use` with the integrations */
  remove(caller: Caller, id: string): Promise<void>
  /** Without SQL once known; `undefined` for an entry that is not there. */
  current(tenantId: string, id: string): Promise<CurrentVersion | undefined>
  /** Returns the values for a connection to a broker; leaves no row of its own. @throws {AppError} `credential.expired` */
  open(tenantId: string, id: string): Promise<OpenedEntry>
}

export interface VaultDeps extends RecordKeeperDeps {
  db: Db
  audit: Audit
  /** Ids of the integrations that use an entry. */
  usersOf: (tenantId: string, entryId: string) => Promise<readonly string[]>
}

const ENTRIES_MAX = 10_000
const ENTRY_TTL_MS = 300_000

const notFound = () => new AppError('object.not_found', 'No such object.')
const expired = () => new AppError('credential.expired', 'The credential has expired: rotate it to new values.')

export function createVault(deps: VaultDeps): Vault {
  const { db, provider, audit, clock, feed, usersOf } = deps
  const change = createAuditedChange(deps)
  const keeper = createRecordKeeper(deps)
  const known = createCache<CurrentVersion>({ feed, topic: 'vault', max: ENTRIES_MAX, ttlMs: ENTRY_TTL_MS, load })
  const now = () => new Date(clock.now())

  async function load(topicKey: string): Promise<CurrentVersion | undefined> {
    const [tenantId = '', id = ''] = topicKey.split('/')
    const entry = await findEntry(db, tenantId, id, now())
    return entry && { version: entry.version, credentialType: entry.credentialType, expiresAt: entry.expiresAt }
  }

  async function findRecord(tenantId: string, id: string): Promise<{ entry: StoredEntry; record: RecordRow }> {
    const found = isUuid(id) ? await findCurrentRecord(db, tenantId, id, now()) : undefined
    if (!found) throw notFound()
    return found
  }

  async function openValues({
    entry,
    record,
  }: {
    entry: StoredEntry
    record: RecordRow
  }): Promise<Record<string, unknown>> {
    if (isExpired(entry, now())) throw expired()
    const plaintext = await keeper.open({ ...contextOf(entry), schema: record.schema, custody: record.custody }, record)
    const values = decodeValues(plaintext)
    wipe(plaintext)
    return values
  }

  const eventOf = (caller: Caller, { id, credentialType, version }: StoredEntry) => ({
    ...caller,
    outcome: 'success' as const,
    object: { kind: 'vault_entry', id },
    detail: { credential_type: credentialType, version },
  })

  const recordDetail = (entry: StoredEntry, context: RecordContext, record: StoredRecord) => ({
    record_sha384: toHex(digestRecord(provider, context, record)),
    expires_at: entry.expiresAt?.toISOString() ?? null,
  })

  async function sealVersion(
    entry: StoredEntry,
    plaintext: Bytes,
  ): Promise<{ context: RecordContext; record: StoredRecord }> {
    const context = contextOf(entry)
    const record = await keeper.seal(context, plaintext)
    wipe(plaintext)
    return { context, record }
  }

  return {
    async seal(caller, input) {
      const { entry, metadata } = parseNewEntry(input, caller.tenantId, clock.now())
      const { context, record } = await sealVersion(entry, encodeValues(input.values))
      return change(async (tx) => {
        await insertEntry(tx, entry, metadata)
        await insertRecord(tx, context, record, entry.createdAt)
        const event = eventOf(caller, entry)
        const detail = {
          ...event.detail,
          ...recordDetail(entry, context, record),
          name: entry.name,
          ttl_days: entry.ttlDays,
        }
        return { result: publicView(entry), events: [{ ...event, action: 'vault.seal', detail }] }
      })
    },

    async unseal(caller, id) {
      const found = await findRecord(caller.tenantId, id)
      const { entry } = found
      const event = { ...eventOf(caller, entry), action: 'vault.unseal' }
      let values: Record<string, unknown>
      try {
        values = await openValues(found)
      } catch (err) {
        const code = err instanceof AppError ? err.code : 'internal'
        await audit.record({ ...event, outcome: 'failure', detail: { ...event.detail, code } })
        throw err
      }
      return change(async (tx) => {
        await markAccessed(tx, caller.tenantId, id, now())
        const { version, credentialType } = entry
        return { result: { version, credentialType, values }, events: [event] }
      })
    },

    async list(tenantId) {
      return (await listEntries(db, tenantId, now())).map(publicView)
    },

    async get(tenantId, id) {
      const entry = isUuid(id) ? await findEntry(db, tenantId, id, now()) : undefined
      if (!entry) throw notFound()
      return publicView(entry)
    },

    async versions(tenantId, id) {
      const versions = isUuid(id) ? await listVersions(db, tenantId, id) : []
      if (versions.length === 0) throw notFound()
      return versions
    },

    async rotate(caller, id, values) {
      const given = values === undefined ? undefined : encodeValues(values)
      const found = await findRecord(caller.tenantId, id)
      const plaintext = given ?? encodeValues(await openValues(found))
      const updatedAt = now()
      const expiresAt = given ? expiryOf(found.entry.ttlDays, updatedAt.getTime()) : found.entry.expiresAt
      const entry: StoredEntry = {
        ...found.entry,
        version: found.entry.version + 1,
        active: true,
        updatedAt,
        expiresAt,
      }
      const { context, record } = await sealVersion(entry, plaintext)
      const topicKey = vaultTopicKey(caller.tenantId, id)
      const rotated = await change(async (tx) => {
        if (!(await moveToVersion(tx, entry))) {
          throw new AppError('precondition.failed', 'The entry changed at the same time; look at it and try again.')
        }
        await insertRecord(tx, context, record, updatedAt)
        await shredBelow(tx, caller.tenantId, id, entry.version - 1)
        await feed.announce(tx, 'vault', topicKey)
        const event = eventOf(caller, entry)
        const detail = { ...event.detail, ...recordDetail(entry, context, record), new_values: given !== undefined }
        return { result: publicView(entry), events: [{ ...event, action: 'vault.rotate', detail }] }
      })
      known.forget(topicKey)
      return rotated
    },

    async remove(caller, id) {
      const { entry } = await findRecord(caller.tenantId, id)
      const integrations = await usersOf(caller.tenantId, id)
      if (integrations.length > 0) {
        throw new AppError('object.in_use', 'Integrations use this credential.', { details: { integrations } })
      }
      const topicKey = vaultTopicKey(caller.tenantId, id)
      await change(async (tx) => {
        if (!(await markDeleted(tx, caller.tenantId, id, now()))) throw notFound()
        await shredBelow(tx, caller.tenantId, id, entry.version + 1)
        await feed.announce(tx, 'vault', topicKey)
        return { result: undefined, events: [{ ...eventOf(caller, entry), action: 'vault.delete' }] }
      })
      known.forget(topicKey)
    },

    async current(tenantId, id) {
      return isUuid(id) ? known.get(vaultTopicKey(tenantId, id)) : undefined
    },

    async open(tenantId, id) {
      const found = await findRecord(tenantId, id)
      return { version: found.entry.version, values: await openValues(found) }
    },
  }
}
