import type { Clock } from '../core/clock.ts'
import type { Db } from '../db/db.ts'
import { outcomeOf } from './actions.ts'
import type { Audit, AuditEvent } from './audit.ts'
import type { AuditRow } from './row.ts'

const BATCH = 100
/** Longer than a flush can take: nobody claims an intent that another process is still closing. */
const LEASE_MS = 60_000

/**
 * Closes intents whose outcome never came (a killed process, a database that was away) as `unknown`, a minute after their
 * deadline, and returns how many. Any number of processes may sweep at once: each intent is claimed before it is closed,
 * and a claim whose holder dies can be taken over after a minute. A tenant whose chain takes no rows keeps its own open and
 * nobody else's.
 *
 * @throws {AppError} `database.unavailable`, `audit.unavailable`; the next sweep goes on from there
 */
export async function sweepOrphanedIntents(deps: { db: Db; audit: Audit; clock: Clock }): Promise<number> {
  let closed = 0
  let failure: PromiseRejectedResult | undefined
  for (;;) {
    const orphans = await claimOrphans(deps.db, deps.clock.now())
    const ofTenants = [...Map.groupBy(orphans, (intent) => intent.tenant_id).values()]
    const results = await Promise.allSettled(
      ofTenants.map(async (intents) => {
        await deps.audit.record(...intents.map(outcomeEvent))
        closed += intents.length
      }),
    )
    failure ??= results.find((result) => result.status === 'rejected')
    if (results.some((result) => result.status === 'fulfilled')) continue
    if (failure) throw failure.reason
    return closed
  }
}

async function claimOrphans(db: Db, nowMs: number): Promise<AuditRow[]> {
  const { rows } = await db.query<{ row_bytes: Buffer }>(
    `with due as (
       select tenant_id, action, correlation from audit_open_intents where close_after <= $1
       order by close_after limit $2 for update skip locked
     ), claimed as (
       update audit_open_intents o set close_after = $3 from due
       where (o.tenant_id, o.action, o.correlation) = (due.tenant_id, due.action, due.correlation)
       returning o.tenant_id, o.seq
     )
     select r.row_bytes from claimed c join audit_rows r on r.tenant_id = c.tenant_id and r.seq = c.seq`,
    [new Date(nowMs), BATCH, new Date(nowMs + LEASE_MS)],
  )
  return rows.map((row) => JSON.parse(row.row_bytes.toString('utf8')) as AuditRow)
}

function outcomeEvent(intent: AuditRow): AuditEvent {
  return {
    tenantId: intent.tenant_id,
    action: outcomeOf(intent.action),
    outcome: 'unknown',
    actor: { id: 'system' },
    ...(intent.object && { object: intent.object }),
    ...(intent.request_id !== null && { requestId: intent.request_id }),
    ...(intent.message_id !== null && { messageId: intent.message_id }),
    detail: { swept: true },
  }
}
