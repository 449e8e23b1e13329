import type { AuditEvent, Caller } from '#src/audit/audit.ts'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import type { ChangeFeed } from '#src/db/change-feed.ts'
import type { Db, Queryable } from '#src/db/db.ts'
import { createPolicies } from '#src/policies/policies.ts'
import type { PolicyWorkers } from '#src/policies/policy-workers.ts'
import { countingDb, memoryAudit, testClock } from '#test/support/deployment.ts'

/** A document with one rule: a key may publish below a topic of that name. */
export function documentOf(topic: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    schema: 'mqtt-policy/1',
    id: 'plant',
    rules: [{ id: 'own', effect: 'allow', actions: ['publish'], topics: [`${topic}/#`] }],
    ...more,
  }
}

/** A test that the document of that topic passes, or with `deny` does not. */
export function testOf(topic: string, expect: 'allow' | 'deny' = 'allow'): Record<string, unknown> {
  return { as: { sub: 'key_1' }, do: 'publish', topic: `${topic}/t`, expect }
}

/** Policies of a new tenant over a database that others may use too, as one process would have them. */
export async function policiesOn(
  { db: shared, feed, workers }: { db: Db; feed: ChangeFeed; workers: PolicyWorkers },
  tenantId?: string,
) {
  const clock = testClock()
  const audit = memoryAudit()
  const db = countingDb(shared)
  const warnings: { fields: object; message: string }[] = []
  const note = (fields: object, message: string) => void warnings.push({ fields, message })
  const log = { debug() {}, info() {}, warn: note, error: note }
  const users: string[] = []
  const usersOf = async (_tx: Queryable, _tenantId: string, _id: string) => users
  const policies = createPolicies({ db, feed, audit, clock, log, workers, usersOf })
  const id = tenantId ?? newId('ten')
  if (tenantId === undefined)
    await shared.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [id])
  const caller: Caller = { tenantId: id, actor: { id: newId('key') }, requestId: newId('req') }
  return { clock, audit, db, warnings, users, policies, caller }
}

/** Expects a refusal with that code. */
export async function errorOf(work: Promise<unknown>, code: ErrorCode): Promise<AppError> {
  const err = await work.then(
    () => new Error(`expected ${code}, but it succeeded`),
    (thrown: unknown) => thrown,
  )
  if (err instanceof AppError && err.code === code) return err
  throw err
}

/** The last change on record. */
export function lastEvent({ events }: { events: AuditEvent[] }): AuditEvent | undefined {
  return events.at(-1)
}

/** The problems that a refusal tells. */
export function problemsOf({ details }: AppError): { path: string; message: string }[] {
  return (details?.['problems'] ?? []) as { path: string; message: string }[]
}
