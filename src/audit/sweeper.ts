import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Db } from '../db/db.ts'
import { outcomeOf } from './actions.ts'
import type { Audit, AuditEvent } from './audit.ts'
import type { AuditRow } from './row.ts'
import { GRACE_MS, type OpenIntent, putBack, takeOpenIntents } from './sweep-step.ts'

/** How long an intent may stay open when it names no deadline of its own. */
const DEFAULT_DEADLINE_MS = 30_000
/** No operation may take longer; a larger number is a damaged one. */
const MAX_DEADLINE_MS = 86_400_000
/** Of 5,000 rows and more: several times what is written between two sweeps. */
const MAX_STEPS = 400

interface DueIntent {
  intent: OpenIntent
  dueMs: number
  outcome: AuditEvent
}

/**
 * Closes intents whose outcome never came (a killed process, a database that was away) as `unknown`, a minute after their
 * deadline, and returns how many. Every row of a chain is read once, at least 2 million in one call where there are as
 * many. Any number of processes may sweep at once: each intent is taken before it is closed, and one whose taker dies can
 * be taken by another after a minute. A tenant whose chain takes no rows keeps its own open and nobody else's.
 *
 * @throws {AppError} `database.unavailable`, `audit.unavailable`, `internal` for a row that was damaged; the next sweep goes
 * on from there
 */
export async function sweepOrphanedIntents(deps: { db: Db; audit: Audit; clock: Clock }): Promise<number> {
  const failures = new Map<string, unknown>()
  let closed = 0
  for (let step = 0, more = true; more && step < MAX_STEPS; step++) {
    const taken = await takeDue(deps.db, deps.clock.now(), failures)
    more = taken.more
    await Promise.all(
      [...Map.groupBy(taken.due, ({ outcome }) => outcome.tenantId)].map(async ([tenantId, intents]) => {
        try {
          await deps.audit.record(...intents.map(({ outcome }) => outcome))
          closed += intents.length
        } catch (err) {
          failures.set(tenantId, err)
        }
      }),
    )
  }
  const [failure] = failures.values()
  if (failure !== undefined) throw failure
  return closed
}

/** Takes intents, and keeps those that are due. Whose rows cannot be read is noted in `failures`, and not asked for again. */
function takeDue(
  db: Db,
  nowMs: number,
  failures: Map<string, unknown>,
): Promise<{ due: readonly DueIntent[]; more: boolean }> {
  return db.transaction(async (tx) => {
    const { intents, more } = await takeOpenIntents(tx, nowMs, [...failures.keys()])
    const readable: DueIntent[] = []
    for (const intent of intents) {
      try {
        readable.push(readIntent(intent))
      } catch (cause) {
        failures.set(
          intent.tenant_id,
          new AppError('internal', 'A row of the audit log cannot be read: verify the log.', { cause }),
        )
      }
    }
    await putBack(
      tx,
      readable.filter(({ dueMs }) => dueMs > nowMs),
    )
    return { due: readable.filter(({ dueMs }) => dueMs <= nowMs), more }
  })
}

/** Only what the columns lack is believed from the bytes; the outcome must close this entry of the list and no other. */
function readIntent(intent: OpenIntent): DueIntent {
  const { tenant_id: tenantId, action, correlation, message_id: messageId, request_id: requestId } = intent
  if ((messageId ?? requestId) !== correlation) throw new Error('The row has another id than when it was read first.')
  const { object, detail } = JSON.parse(intent.row_bytes.toString('utf8')) as AuditRow
  const given = typeof detail.deadline_ms === 'number' ? detail.deadline_ms : DEFAULT_DEADLINE_MS
  return {
    intent,
    dueMs: intent.at.getTime() + Math.min(Math.max(0, given), MAX_DEADLINE_MS) + GRACE_MS,
    outcome: {
      tenantId,
      action: outcomeOf(action),
      outcome: 'unknown',
      actor: { id: 'system' },
      ...(object && { object }),
      ...(requestId !== null && { requestId }),
      ...(messageId !== null && { messageId }),
      detail: { swept: true },
    },
  }
}
