import type { AuditEvent, Caller } from '../audit/audit.ts'
import type { AuditedChange } from '../audit/audited-change.ts'
import { boundedText } from '../audit/row.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { isId, newId } from '../core/ids.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db, Queryable } from '../db/db.ts'
import { policyTopicKey } from './active-policies.ts'
import { parseIfMatch } from './if-match.ts'
import { type Policy, policyNotFound } from './policy.ts'
import { createSteps, type Document, type PolicyPatch } from './policy-step.ts'
import { deletePolicy, insertPolicy, selectPolicy, updatePolicy } from './policy-store.ts'
import type { PolicyWorkers } from './policy-workers.ts'

export interface NewPolicy {
  /** Defaults to the document's `id`. */
  readonly name?: string | undefined
  readonly document: Document
}

/**
 * A document decides only after it was parsed and its tests passed; until then the one before does. Every change fails with
 * `policy.invalid` (every problem with its path), `precondition.required`, `precondition.failed`, `object.not_found`,
 * `quota.exceeded` or `rate.limited`, and then nothing has changed.
 */
export interface PolicyChanges {
  create(caller: Caller, input: NewPolicy): Promise<Policy>
  update(caller: Caller, id: string, ifMatch: string | undefined, patch: PolicyPatch): Promise<Policy>
  /** Deletes a policy and its revisions. @throws {AppError} `object.in_use` with the integrations that name it */
  remove(caller: Caller, id: string, ifMatch: string | undefined): Promise<void>
}

export interface PolicyChangesDeps {
  db: Db
  feed: Pick<ChangeFeed, 'announce'>
  clock: Clock
  workers: Pick<PolicyWorkers, 'run'>
  change: AuditedChange
  forget: (tenantId: string, policyId: string) => void
  usersOf: (tx: Queryable, tenantId: string, policyId: string) => Promise<readonly string[]>
}

function stale(): AppError {
  return new AppError('precondition.failed', 'If-Match: is not the ETag of the policy as it is now.')
}

/** The changes of policies: judged first, then one transaction that its audit row precedes. */
export function createPolicyChanges(deps: PolicyChangesDeps): PolicyChanges {
  const { db, feed, clock, change, forget, usersOf } = deps
  const steps = createSteps(deps)

  /** Finds the policy that a conditional change is about; another tenant's is as absent as a random id. */
  async function seen(tx: Queryable, tenantId: string, id: string, version: number | undefined): Promise<Policy> {
    const policy = isId('pol', id) ? await selectPolicy(tx, tenantId, id) : undefined
    if (!policy) throw policyNotFound()
    if (policy.version !== version) throw stale()
    return policy
  }

  return {
    async create(caller, { name, document }) {
      const { tenantId } = caller
      const id = newId('pol', clock.now())
      const step = await steps.first(caller, id, document)
      const now = new Date(clock.now())
      return change(async (tx) => {
        await insertPolicy(tx, { tenantId, id, now, name: name ?? boundedText(String(document['id'])) })
        await step.apply(tx, now)
        const result = await seen(tx, tenantId, id, 1)
        return { result, events: [changeEvent(caller, 'create', result, step.detail)] }
      })
    },

    async update(caller, id, ifMatch, patch) {
      const { tenantId } = caller
      const version = parseIfMatch(ifMatch, 'policy')
      const before = await seen(db, tenantId, id, version)
      const step = await steps.next(caller, before, patch)
      const now = new Date(clock.now())
      const at = { tenantId, id, version: before.version, now }
      const named = Object.entries(patch).filter(([, value]) => value !== undefined)
      const changed = named.map(([name]) => name).join(',')
      const updated = await change(async (tx) => {
        if (!(await updatePolicy(tx, at, { name: patch.name, ...step.moves }))) {
          await seen(tx, tenantId, id, version) // tells whether it changed or is gone
          throw stale()
        }
        await step.apply(tx, now)
        await feed.announce(tx, 'policy', policyTopicKey(tenantId, id))
        const result = await seen(tx, tenantId, id, before.version + 1)
        return { result, events: [changeEvent(caller, step.fact, result, { ...step.detail, changed })] }
      })
      forget(tenantId, id) // our own announcement is still on its way
      return updated
    },

    async remove(caller, id, ifMatch) {
      const { tenantId } = caller
      const version = parseIfMatch(ifMatch, 'policy')
      const before = await seen(db, tenantId, id, version)
      await change(async (tx) => {
        if (!(await deletePolicy(tx, { tenantId, id, version: before.version }))) {
          await seen(tx, tenantId, id, version)
          throw stale()
        }
        const integrations = await usersOf(tx, tenantId, id) // behind those that held the policy while they began
        if (integrations.length > 0) {
          throw new AppError('object.in_use', 'Integrations name this policy.', { details: { integrations } })
        }
        await feed.announce(tx, 'policy', policyTopicKey(tenantId, id))
        const detail = { revision: before.activeRevision, sha256: before.sha256 }
        return { result: undefined, events: [changeEvent(caller, 'delete', before, detail)] }
      })
      forget(tenantId, id)
    },
  }
}

function changeEvent(
  caller: Caller,
  fact: 'create' | 'update' | 'activate' | 'delete',
  policy: Policy,
  detail: NonNullable<AuditEvent['detail']>,
): AuditEvent {
  return {
    tenantId: caller.tenantId,
    action: `policies.${fact}`,
    outcome: 'success',
    actor: caller.actor,
    object: { kind: 'policy', id: policy.id },
    requestId: caller.requestId,
    detail: { name: policy.name, version: policy.version, ...detail },
  }
}
