import type { Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { wipe } from '../core/bytes.ts'
import { AppError } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import { createCache } from '../db/cache.ts'
import { firstPage, type Page, type Queryable } from '../db/db.ts'
import type { CustodyShare } from './custody.ts'
import { contextOf, entryEvent, entryNotFound, publicView } from './entry.ts'
import { findEntry, holdEntry, listEntries, markAccessed, type VaultEntry } from './entry-store.ts'
import { createEntryOpener, type FoundEntry } from './open-entry.ts'
import { reEncryptHeldRecord } from './re-encrypt.ts'
import { createRecordKeeper } from './record-keeper.ts'
import { listVersions, type VaultVersion } from './record-store.ts'
import { vaultTopicKey } from './share-cache.ts'
import { createVaultWrites, type VaultDeps, type VaultWrites } from './vault-writes.ts'

export type { CustodyShare } from './custody.ts'
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
  custody: 0 | 1
  expiresAt: Date | null
}

/**
 * Keeps credentials sealed. A missing entry, a deleted one and another tenant's are `object.not_found` alike; a record that
 * does not open is `vault.unavailable` for every reason alike.
 */
export interface Vault extends VaultWrites {
  /**
   * Returns the values, after the audit row that says so. `share` is for an entry in split custody.
   *
   * @throws {AppError} `credential.expired`, `custody.required`, `custody.rejected`, `request.invalid`, `rate.limited`
   */
  unseal(caller: Caller, id: string, share?: CustodyShare): Promise<OpenedEntry & { credentialType: string }>
  /** Newest first. */
  list(tenantId: string, page?: Page): Promise<VaultEntry[]>
  get(tenantId: string, id: string): Promise<VaultEntry>
  versions(tenantId: string, id: string): Promise<VaultVersion[]>
  /** Without SQL once known; `undefined` for an entry that is not there. */
  current(tenantId: string, id: string): Promise<CurrentVersion | undefined>
  /** As `current`, from the database; until the transaction ends the entry stays as it is. For whoever comes to use it. */
  hold(tx: Queryable, tenantId: string, id: string): Promise<CurrentVersion | undefined>
  /**
   * Returns the values for a connection to a broker; leaves no row of its own. `share` is one that `verifyShare` has seen.
   *
   * @throws {AppError} `credential.expired`, `custody.required`
   */
  open(tenantId: string, id: string, share?: CustodyShare): Promise<OpenedEntry>
  /**
   * Returns some members, which are no secrets; no text is made of the others. Leaves no row.
   *
   * @throws {AppError} `credential.expired`, `custody.required`
   */
  peek(tenantId: string, id: string, names: ReadonlySet<string>): Promise<Record<string, unknown>>
  /**
   * Opens an entry in split custody and forgets the values: proves that the share is its own. Leaves no row of its own.
   *
   * @returns the version that it opened
   * @throws {AppError} `credential.expired`, `rate.limited`, `custody.rejected`, `request.invalid` for an entry that is not
   * in split custody
   */
  verifyShare(caller: Caller, id: string, share: CustodyShare): Promise<number>
}

const ENTRIES_MAX = 10_000
const ENTRY_TTL_MS = 300_000

function currentOf({ version, credentialType, custody, expiresAt }: VaultEntry): CurrentVersion {
  return { version, credentialType, custody, expiresAt }
}

export function createVault(deps: VaultDeps): Vault {
  const { db, audit, clock, feed } = deps
  const change = createAuditedChange(deps)
  const keeper = createRecordKeeper(deps)
  const opener = createEntryOpener({ db, keeper, clock })
  const known = createCache<CurrentVersion>({ feed, topic: 'vault', max: ENTRIES_MAX, ttlMs: ENTRY_TTL_MS, load })
  const now = () => new Date(clock.now())

  async function load(topicKey: string): Promise<CurrentVersion | undefined> {
    const [tenantId = '', id = ''] = topicKey.split('/')
    const entry = await findEntry(db, tenantId, id, now())
    return entry && currentOf(entry)
  }

  /** What only a holder can open moves to a new vault key while the share is here. */
  async function moveHeld({ entry, record }: FoundEntry, share: CustodyShare | undefined): Promise<void> {
    const { schema, custody, wrappedShare } = record
    if (!share || !wrappedShare) return
    const version = { context: { ...contextOf(entry), schema, custody }, record: { ...record, wrappedShare } }
    try {
      await reEncryptHeldRecord({ ...deps, change }, version, share.reveal())
    } catch (err) {
      if (!(err instanceof AppError)) throw err // else it moves the next time; the counts by key show that it did not
    }
  }

  return {
    ...createVaultWrites({ ...deps, change, keeper, opener, forget: known.forget }),

    async unseal(caller, id, share) {
      const found = await opener.find(caller.tenantId, id)
      const { version, credentialType } = found.entry
      const event = { ...entryEvent(caller, found.entry), action: 'vault.unseal' }
      let values: Record<string, unknown>
      try {
        values = await opener.values(found, caller, share)
      } catch (err) {
        const code = err instanceof AppError ? err.code : 'internal'
        await audit.record({ ...event, outcome: 'failure', detail: { ...event.detail, code } })
        throw err
      }
      await moveHeld(found, share)
      return change(async (tx) => {
        await markAccessed(tx, caller.tenantId, id, now())
        return { result: { version, credentialType, values }, events: [event] }
      })
    },

    async list(tenantId, page = firstPage) {
      return (await listEntries(db, tenantId, now(), page)).map(publicView)
    },

    async get(tenantId, id) {
      const entry = isUuid(id) ? await findEntry(db, tenantId, id, now()) : undefined
      if (!entry) throw entryNotFound()
      return publicView(entry)
    },

    async versions(tenantId, id) {
      const versions = isUuid(id) ? await listVersions(db, tenantId, id) : []
      if (versions.length === 0) throw entryNotFound()
      return versions
    },

    async current(tenantId, id) {
      return isUuid(id) ? known.get(vaultTopicKey(tenantId, id)) : undefined
    },

    async hold(tx, tenantId, id) {
      const entry = isUuid(id) ? await holdEntry(tx, tenantId, id, now()) : undefined
      return entry && currentOf(entry)
    },

    async open(tenantId, id, share) {
      const found = await opener.find(tenantId, id)
      return { version: found.entry.version, values: await opener.valuesByHeldShare(found, share) }
    },

    peek: async (tenantId, id, names) => opener.members(await opener.find(tenantId, id), names),

    async verifyShare(caller, id, share) {
      const found = await opener.find(caller.tenantId, id)
      wipe(await opener.plaintext(found, caller, share))
      await moveHeld(found, share)
      return found.entry.version
    },
  }
}
