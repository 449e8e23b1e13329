import type { Audit } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { isId } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db, Queryable } from '../db/db.ts'
import { type ActivePolicies, createActivePolicies } from './active-policies.ts'
import type { Examination, Imported, ImportJob, Simulated, SimulationJob } from './judge.ts'
import { type Policy, type PolicyRevision, policyNotFound, type StoredRevision } from './policy.ts'
import { createPolicyChanges, type PolicyChanges } from './policy-changes.ts'
import { holdPolicy, type Page, selectPolicies, selectPolicy } from './policy-store.ts'
import type { PolicyWorkers } from './policy-workers.ts'
import { selectRevision, selectRevisions } from './revision-store.ts'

export interface PageOf<Item> {
  items: Item[]
  /** Where the next page begins; `null` on the last one. */
  nextAfter: string | null
}

/** What is asked of a stored policy, or of a document that is not stored. */
export type Question = Omit<SimulationJob, 'text'> &
  (
    | { readonly document: Readonly<Record<string, unknown>> }
    | { readonly policyId: string; readonly revision?: number | undefined }
  )

export interface Answered {
  /** `null` for a document that is not stored. */
  readonly policyId: string | null
  readonly revision: number | null
  readonly decisions: readonly Simulated[]
}

/** Stored policies. A missing one and another tenant's are `object.not_found` alike. */
export interface Policies extends PolicyChanges, Pick<ActivePolicies, 'active'> {
  /** In the order of creation. */
  list(tenantId: string, page: Page): Promise<PageOf<Policy>>
  /** With the document that decides. */
  get(tenantId: string, id: string): Promise<{ policy: Policy; active: StoredRevision }>
  /** Newest first. */
  revisions(tenantId: string, id: string, page: Page): Promise<PageOf<PolicyRevision>>
  revision(tenantId: string, id: string, revision: number): Promise<StoredRevision>
  /** Says what is wrong with a document; stores nothing. */
  validate(tenantId: string, document: Readonly<Record<string, unknown>>): Promise<Examination>
  /** Decides requests as the surfaces would; does nothing else. @throws {AppError} `policy.invalid`, `request.invalid` */
  simulate(tenantId: string, question: Question): Promise<Answered>
  /** Translates another product's rules; stores nothing. @throws {AppError} `policy.invalid` with every problem */
  import(tenantId: string, job: ImportJob): Promise<Imported>
  /** Reports whether a policy is there, and keeps it from being deleted until the transaction ends. */
  hold(tx: Queryable, tenantId: string, id: string): Promise<boolean>
}

export interface PoliciesDeps {
  db: Db
  feed: ChangeFeed
  /** Its rows are committed while a change is still uncommitted, so it needs connections of its own. */
  audit: Audit
  clock: Clock
  log: Log
  workers: Pick<PolicyWorkers, 'run'>
  /** Ids of the integrations that name a policy; asked within the transaction that deletes it. */
  usersOf: (tx: Queryable, tenantId: string, policyId: string) => Promise<readonly string[]>
}

async function pageOf<Item>(
  page: Page,
  read: (page: Page) => Promise<Item[]>,
  placeOf: (item: Item) => string,
): Promise<PageOf<Item>> {
  const found = await read({ ...page, limit: page.limit + 1 })
  const items = found.slice(0, page.limit)
  const last = items.at(-1)
  return { items, nextAfter: found.length > page.limit && last !== undefined ? placeOf(last) : null }
}

/** Keeps policies: documents that only ever are added, one of which decides. */
export function createPolicies(deps: PoliciesDeps): Policies {
  const { db, audit, clock, workers } = deps
  const active = createActivePolicies({ ...deps, now: () => clock.monotonic() })
  const changes = createPolicyChanges({ ...deps, change: createAuditedChange({ db, audit }), forget: active.forget })

  async function find(tenantId: string, id: string): Promise<Policy> {
    const policy = isId('pol', id) ? await selectPolicy(db, tenantId, id) : undefined
    if (!policy) throw policyNotFound()
    return policy
  }

  async function stored(tenantId: string, id: string, revision?: number): Promise<StoredRevision> {
    const found = isId('pol', id) ? await selectRevision(db, tenantId, id, revision) : undefined
    if (!found) throw policyNotFound()
    return found
  }

  return {
    ...changes,
    active: active.active,

    list: (tenantId, page) =>
      pageOf(
        page,
        (some) => selectPolicies(db, tenantId, some),
        ({ id }) => id,
      ),

    async get(tenantId, id) {
      const policy = await find(tenantId, id)
      return { policy, active: await stored(tenantId, id, policy.activeRevision) }
    },

    async revisions(tenantId, id, page) {
      await find(tenantId, id)
      return pageOf(
        page,
        (some) => selectRevisions(db, tenantId, id, some),
        ({ revision }) => String(revision),
      )
    },

    revision: stored,

    validate: (tenantId, document) => workers.run(tenantId, 'examine', { text: JSON.stringify(document), lint: true }),

    async simulate(tenantId, question) {
      const { identity, requests, delivery, trace } = question
      const inline = 'document' in question
      const subject = inline ? undefined : await stored(tenantId, question.policyId, question.revision)
      const text = subject?.text ?? JSON.stringify(inline ? question.document : undefined)
      const decisions = await workers.run(tenantId, 'simulate', { text, identity, requests, delivery, trace })
      return { policyId: inline ? null : question.policyId, revision: subject?.revision ?? null, decisions }
    },

    import: (tenantId, job) => workers.run(tenantId, 'import', job),

    hold: (tx, tenantId, id) => (isId('pol', id) ? holdPolicy(tx, tenantId, id) : Promise.resolve(false)),
  }
}
