import type { Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { AppError } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import { createCache } from '../db/cache.ts'
import { firstPage, type Page, type Queryable } from '../db/db.ts'
import { entryEvent, entryNotFound, publicView } from './entry.ts'
import { findEntry, holdEntry, listEntries, markAccessed, type VaultEntry } from './entry-store.ts'
import { createEntryOpener } from './open-entry.ts'
import { createRecordKeeper } from './record-keeper.ts'
import { listVersions, type VaultVersion } from './record-store.ts'
import { vaultTopicKey } from './share-cache.ts'
import { createVaultWrites, type VaultDeps, type VaultWrites } from './vault-writes.ts'

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
export interface Vault extends VaultWrites {
  /** Returns the values, after the audit row that says so. @throws {AppError} `credential.expired` */
  unseal(caller: Caller, id: string): Promise<OpenedEntry & { credentialType: string }>
  /** Newest first. */
  list(tenantId: string, page?: Page): Promise<VaultEntry[]>
  get(tenantId: string, id: string): Promise<VaultEntry>
  versions(tenantId: string, id: string): Promise<VaultVersion[]>
  /** Without SQL once known; `undefined` for an entry that is not there. */
  current(tenantId: string, id: string): Promise<CurrentVersion | undefined>
  /** As `current`, from the database; until the transaction ends the entry stays as it is. For whoever comes to use it. */
  hold(tx: Queryable, tenantId: string, id: string): Promise<CurrentVersion | undefined>
  /** Returns the values for a connection to a broker; leaves no row of its own. @throws {AppError} `credential.expired` */
  open(tenantId: string, id: string): Promise<OpenedEntry>
}

const ENTRIES_MAX = 10_000
const ENTRY_TTL_MS = 300_000

function currentOf({ version, credentialType, expiresAt }: VaultEntry): CurrentVersion {
  return { version, credentialType, expiresAt }
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

  return {
    ...createVaultWrites({ ...deps, change, keeper, opener, forget: known.forget }),

    async unseal(caller, id) {
      const found = await opener.find(caller.tenantId, id)
      const { version, credentialType } = found.entry
      const event = { ...entryEvent(caller, found.entry), action: 'vault.unseal' }
      let values: Record<string, unknown>
      try {
        values = await opener.values(found)
      } catch (err) {
        const code = err instanceof AppError ? err.code : 'internal'
        await audit.record({ ...event, outcome: 'failure', detail: { ...event.detail, code } })
        throw err
      }
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

    async open(tenantId, id) {
      const found = await opener.find(tenantId, id)
      return { version: found.entry.version, values: await opener.values(found) }
    },
  }
}
