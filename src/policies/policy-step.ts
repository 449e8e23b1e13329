import type { AuditEvent, Caller } from '../audit/audit.ts'
import { AppError } from '../core/errors.ts'
import type { Db, Queryable } from '../db/db.ts'
import { type DocumentText, encodeDocument, statedRevision, withRevision } from './document-text.ts'
import { invalidPolicy } from './invalid-policy.ts'
import type { Policy } from './policy.ts'
import { holdUsage, type Moves } from './policy-store.ts'
import type { PolicyWorkers } from './policy-workers.ts'
import { insertRevision, pruneRevisions, selectRevision } from './revision-store.ts'

export type Document = Readonly<Record<string, unknown>>

/** At least one member. `activate` goes with `document`; `activateRevision` without it. */
export interface PolicyPatch {
  readonly name?: string | undefined
  readonly document?: Document | undefined
  /** `false` stores a draft, whose tests may fail: another revision goes on deciding. */
  readonly activate?: boolean | undefined
  /** Switches back, or to a draft. */
  readonly activateRevision?: number | undefined
}

/** What a change does once its document has been judged, which happens outside of any transaction. */
export interface Step {
  readonly fact: 'create' | 'update' | 'activate'
  readonly moves: Moves
  /** What the audit row says of the document. */
  readonly detail: NonNullable<AuditEvent['detail']>
  /** Stores what must be stored beside the policy's own row. @throws {AppError} `quota.exceeded` */
  apply(tx: Queryable, now: Date): Promise<void>
}

export const MAX_POLICIES = 1_000
/** Bytes of all documents of a tenant. */
export const MAX_STORED_BYTES = 256 * 1024 * 1024
/** Newest revisions that a policy keeps, beside the one that decides. */
export const KEPT_REVISIONS = 100

/** Judges what a tenant has stored, the change of this transaction included. */
async function assertRoom(tx: Queryable, tenantId: string): Promise<void> {
  const used = await holdUsage(tx, tenantId)
  if (used.policies > MAX_POLICIES) {
    throw new AppError('quota.exceeded', `A tenant has at most ${MAX_POLICIES} policies: delete one that is not used.`)
  }
  if (used.bytes > MAX_STORED_BYTES) {
    const message = `The policies of a tenant and their revisions hold at most ${MAX_STORED_BYTES} bytes: delete some.`
    throw new AppError('quota.exceeded', message)
  }
}

/** A document that says which revision it is was read at that one: storing it must not undo what came after. */
function assertNotOutdated({ activeRevision, latestRevision }: Policy, document: Document): void {
  const stated = statedRevision(document)
  if (stated === undefined || stated === activeRevision || stated === latestRevision) return
  throw new AppError(
    'precondition.failed',
    `document.revision: the policy is at revision ${activeRevision}, this document was read at another one; read it again, or leave revision out.`,
  )
}

function detailOf(revision: number, { sha256 }: DocumentText, rules: number, active: boolean): Step['detail'] {
  return { revision, sha256: Buffer.from(sha256).toString('hex'), rules, active }
}

/** Judges documents before they may decide. All fail with `policy.invalid`, and with what `PolicyWorkers.run` throws. */
export function createSteps({ db, workers }: { db: Db; workers: Pick<PolicyWorkers, 'run'> }) {
  /** Returns the number of rules. */
  async function judge(tenantId: string, text: string, testsMayFail = false): Promise<number> {
    const { problems, failedTests, rules } = await workers.run(tenantId, 'examine', { text, lint: false })
    const found = testsMayFail ? problems : [...problems, ...failedTests]
    if (found.length > 0) throw invalidPolicy(found)
    return rules
  }

  /** A document that becomes the first revision of the policy with that id, to be inserted before. */
  async function first(caller: Caller, policyId: string, document: Document): Promise<Step> {
    const { tenantId, actor } = caller
    const encoded = encodeDocument(withRevision(document, 1))
    const rules = await judge(tenantId, encoded.text)
    return {
      fact: 'create',
      moves: {},
      detail: detailOf(1, encoded, rules, true),
      async apply(tx, now) {
        await insertRevision(tx, { tenantId, policyId, revision: 1, rules, now, createdBy: actor.id }, encoded)
        await assertRoom(tx, tenantId)
      },
    }
  }

  async function store(caller: Caller, policy: Policy, document: Document, activate: boolean): Promise<Step> {
    assertNotOutdated(policy, document)
    const { tenantId, id: policyId } = policy
    const revision = policy.latestRevision + 1
    const encoded = encodeDocument(withRevision(document, revision))
    const rules = await judge(tenantId, encoded.text, !activate)
    return {
      fact: 'update',
      moves: { latestRevision: revision, ...(activate && { activeRevision: revision }) },
      detail: detailOf(revision, encoded, rules, activate),
      async apply(tx, now) {
        const row = { tenantId, policyId, revision, rules, now, createdBy: caller.actor.id }
        await insertRevision(tx, row, encoded)
        await pruneRevisions(tx, tenantId, policyId, revision - KEPT_REVISIONS)
        await assertRoom(tx, tenantId)
      },
    }
  }

  async function activate({ tenantId, id }: Policy, revision: number): Promise<Step> {
    const stored = await selectRevision(db, tenantId, id, revision)
    if (!stored) {
      const message = `activate_revision: there is no revision ${revision} of this policy, or it is not kept any more.`
      throw new AppError('policy.invalid', message, { details: { member: 'activate_revision' } })
    }
    const rules = await judge(tenantId, stored.text)
    const detail = { revision, sha256: stored.sha256, rules, active: true }
    return { fact: 'activate', moves: { activeRevision: revision }, detail, apply: async () => undefined }
  }

  return {
    first,

    async next(caller: Caller, policy: Policy, patch: PolicyPatch): Promise<Step> {
      if (patch.document) return store(caller, policy, patch.document, patch.activate !== false)
      if (patch.activateRevision !== undefined) return activate(policy, patch.activateRevision)
      return { fact: 'update', moves: {}, detail: {}, apply: async () => undefined }
    },
  }
}
