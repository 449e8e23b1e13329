import { LRUCache } from 'lru-cache'
import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { isId, newId } from '../core/ids.ts'
import { createCache } from '../db/cache.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db, Queryable } from '../db/db.ts'
import type { GuardsConfig } from '../guards/guards-config.ts'
import { parseGuards } from '../guards/parse-guards.ts'
import { parseIfMatch } from '../policies/if-match.ts'
import type { IntegrationInput, IntegrationPatch } from './bodies.ts'
import type { Integration, StoredIntegration } from './integration.ts'
import { changeEvent, deleteEvent } from './integration-event.ts'
import {
  type DeletedIntegration,
  deleteIntegration,
  insertIntegration,
  notUnderstood,
  type Page,
  selectIntegration,
  selectIntegrations,
  selectLink,
  selectUsers,
  selectUsersOfPolicy,
  updateIntegration,
} from './integration-store.ts'

export interface Integrations {
  /**
   * @throws {AppError} `integration.invalid` when the policy or the credential is not there, or that is of another type; what
   * `judgeCredential` throws
   */
  create(caller: Caller, input: IntegrationInput): Promise<StoredIntegration>
  /** In the order of creation; of those whose stored settings are not understood only the ids. `nextAfter` is there while more follow. */
  list(
    tenantId: string,
    page?: Page,
  ): Promise<{ items: StoredIntegration[]; notUnderstood: string[]; nextAfter: string | null }>
  /** Asks the database. @throws {AppError} `object.not_found`, also for another tenant's; `integration.invalid` when what is stored is not understood */
  get(tenantId: string, id: string): Promise<StoredIntegration>
  /** As `get`, cached and ready for use: no SQL on a hit. For whatever reaches a broker. */
  find(tenantId: string, id: string): Promise<Integration>
  /** @throws {AppError} `precondition.required`, `precondition.failed`, `object.not_found`; what `create` throws */
  update(caller: Caller, id: string, ifMatch: string | undefined, patch: IntegrationPatch): Promise<StoredIntegration>
  /** @throws {AppError} `precondition.required`, `precondition.failed`, `object.not_found` */
  remove(caller: Caller, id: string, ifMatch: string | undefined): Promise<void>
  /** Ids of the integrations that use a credential, at most 100, as `tx` sees them. */
  usersOf(tx: Queryable, tenantId: string, credentialId: string): Promise<string[]>
  /** Ids of those that name a policy, at most 100, as `tx` sees them. */
  usersOfPolicy(tx: Queryable, tenantId: string, policyId: string): Promise<string[]>
}

export interface IntegrationsDeps {
  db: Db
  feed: ChangeFeed
  /** Its rows are committed while a change is still uncommitted, so it needs connections of its own. */
  audit: Audit
  clock: Clock
  /** Finds a credential and keeps it from being deleted until the transaction ends. */
  vault: { hold(tx: Queryable, tenantId: string, id: string): Promise<{ credentialType: string } | undefined> }
  /** Says whether a policy is there, and keeps it from being deleted until the transaction ends. */
  policies: { hold(tx: Queryable, tenantId: string, id: string): Promise<boolean> }
  /**
   * Asked before a credential and settings come together. Absent: what is wrong with them shows at the first use.
   *
   * @throws {AppError} what the caller is to be told
   */
  judgeCredential?: (settings: Pick<StoredIntegration, 'tenantId' | 'credentialId' | 'config'>) => Promise<void>
}

/** The vault's type for `{hostname, port, username?, password?, …}`. */
export const MQTT_CREDENTIAL = 'custom_kv'
const MAX_CACHED = 10_000
const CACHE_TTL_MS = 300_000

function notFound(): AppError {
  return new AppError('object.not_found', 'No such integration.')
}

function invalid(member: string, problem: string): AppError {
  return new AppError('integration.invalid', `${member}: ${problem}.`, { details: { member } })
}

/**
 * Makes stored integrations usable. A revision never changes, and parsing its guards keeps the process busy: it is done
 * once, also while every use asks the database. Guards that no longer parse throw: refused, never left out.
 */
function createMakeReady(): (stored: StoredIntegration) => Integration {
  const parsed = new LRUCache<string, GuardsConfig>({ max: MAX_CACHED, ttl: CACHE_TTL_MS })
  return ({ guards: given, ...integration }) => {
    if (given === null) return Object.freeze({ ...integration, guards: null })
    const key = `${integration.id}@${integration.revision}`
    const guards = parsed.get(key) ?? parseGuards(given, { source: 'integration' }).guards
    if (!guards) throw notUnderstood(integration, 'guards')
    if (!parsed.has(key)) parsed.set(key, guards)
    return Object.freeze({ ...integration, guards })
  }
}

/**
 * Keeps integrations. Every change is audited before it is committed, so that none is there without its row, and announced
 * in its transaction, so that no replica goes on with the old one.
 */
export function createIntegrations(deps: IntegrationsDeps): Integrations {
  const { db, feed, audit, clock, vault, policies, judgeCredential } = deps
  const auditedChange = createAuditedChange({ db, audit })
  const keyOf = (tenantId: string, id: string) => `${tenantId}/${id}`
  const makeReady = createMakeReady()
  const cache = createCache<Integration>({
    feed,
    topic: 'integration',
    max: MAX_CACHED,
    ttlMs: CACHE_TTL_MS,
    load: async (key) => {
      const [tenantId = '', id = ''] = key.split('/')
      const stored = await selectIntegration(db, tenantId, id)
      return stored && makeReady(stored)
    },
  })

  async function holdCredential(tx: Queryable, tenantId: string, credentialId: string): Promise<void> {
    const credential = await vault.hold(tx, tenantId, credentialId)
    const problem = !credential
      ? 'no such vault entry'
      : credential.credentialType === MQTT_CREDENTIAL
        ? undefined
        : `must be a ${MQTT_CREDENTIAL} entry`
    if (problem !== undefined) throw invalid('credential_id', problem)
  }

  /** What a change newly names must be there, and stay until it is committed. */
  async function holdNamed(tx: Queryable, tenantId: string, named: IntegrationPatch): Promise<void> {
    if (named.credentialId !== undefined) await holdCredential(tx, tenantId, named.credentialId)
    if (typeof named.policyId !== 'string') return
    if (!(await policies.hold(tx, tenantId, named.policyId))) throw invalid('policy_id', 'no such policy')
  }

  async function change<T extends DeletedIntegration>(
    apply: (tx: Queryable) => Promise<T>,
    eventOf: (result: T) => AuditEvent,
  ): Promise<T> {
    const changed = await auditedChange(async (tx) => {
      const result = await apply(tx)
      await feed.announce(tx, 'integration', keyOf(result.tenantId, result.id))
      return { result, events: [eventOf(result)] }
    })
    cache.forget(keyOf(changed.tenantId, changed.id)) // our own announcement is still on its way
    return changed
  }

  /** Tells why a conditional change met no row; another tenant's integration is as absent as a random id. */
  async function refuse(tx: Queryable, tenantId: string, id: string): Promise<never> {
    const current = isId('int', id) ? await selectIntegration(tx, tenantId, id) : undefined
    if (!current) throw notFound()
    throw new AppError('precondition.failed', 'If-Match: is not the ETag of the integration as it is now.')
  }

  async function get(tenantId: string, id: string): Promise<StoredIntegration> {
    const integration = isId('int', id) ? await selectIntegration(db, tenantId, id) : undefined
    if (!integration) throw notFound()
    return integration
  }

  return {
    async create(caller, input) {
      const nowMs = clock.now()
      const row = { tenantId: caller.tenantId, id: newId('int', nowMs), now: new Date(nowMs) }
      await judgeCredential?.({ ...row, ...input })
      const apply = async (tx: Queryable) => {
        await holdNamed(tx, caller.tenantId, input)
        return insertIntegration(tx, row, input)
      }
      return change(apply, (made) => changeEvent(caller, 'create', made))
    },

    async list(tenantId, page = { limit: 100 }) {
      const rows = await selectIntegrations(db, tenantId, { ...page, limit: page.limit + 1 })
      const more = rows.length > page.limit
      if (more) rows.pop()
      const items = rows.flatMap(({ read }) => (read instanceof AppError ? [] : [read]))
      const notUnderstood = rows.flatMap(({ id, read }) => (read instanceof AppError ? [id] : []))
      return { items, notUnderstood, nextAfter: more ? (rows.at(-1)?.id ?? null) : null }
    },

    get,

    async find(tenantId, id) {
      const integration = isId('int', id) ? await cache.get(keyOf(tenantId, id)) : undefined
      if (!integration) throw notFound()
      return integration
    },

    async update(caller, id, ifMatch, patch) {
      const revision = parseIfMatch(ifMatch, 'integration')
      if (revision === undefined) return refuse(db, caller.tenantId, id)
      const before = isId('int', id) ? await selectLink(db, caller.tenantId, id) : undefined
      if (!before) throw notFound() // what is not there is that, whatever else is wrong with the request
      const { credentialId = before.credentialId, config = before.config } = patch
      if (config && (patch.credentialId !== undefined || patch.config))
        await judgeCredential?.({ tenantId: caller.tenantId, credentialId, config })
      const at = { tenantId: caller.tenantId, id, revision, now: new Date(clock.now()) }
      const apply = async (tx: Queryable) => {
        await holdNamed(tx, caller.tenantId, patch)
        return (await updateIntegration(tx, at, patch)) ?? refuse(tx, caller.tenantId, id)
      }
      return change(apply, (made) => changeEvent(caller, 'update', made, { changed: Object.keys(patch).join(',') }))
    },

    async remove(caller, id, ifMatch) {
      const revision = parseIfMatch(ifMatch, 'integration')
      if (revision === undefined || !isId('int', id)) return refuse(db, caller.tenantId, id)
      const at = { tenantId: caller.tenantId, id, revision }
      const apply = async (tx: Queryable) => (await deleteIntegration(tx, at)) ?? refuse(tx, caller.tenantId, id)
      await change(apply, (gone) => deleteEvent(caller, gone))
    },

    usersOf: selectUsers,
    usersOfPolicy: selectUsersOfPolicy,
  }
}
