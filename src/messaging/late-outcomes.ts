import type { Audit, AuditEvent } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { clip } from './audited.ts'
import type { Delivery } from './broker.ts'
import { sleepUntil } from './deadline.ts'

/** What a broker said of a message after its caller was told that nobody knows. */
export interface LateOutcome {
  readonly tenantId: string
  readonly integrationId: string
  readonly messageId: string
  readonly topic: string
  readonly delivery: Exclude<Delivery, { state: 'lost' }>
}

export interface LateOutcomes {
  /** Never waits and never throws: what finds no place is counted and logged. */
  record(late: LateOutcome): void
  /**
   * Ends trying; what waits then gets one last attempt.
   *
   * @throws {AppError} `audit.unavailable` when that did not put everything on record
   */
  close(): Promise<void>
}

const MAX_WAITING = 1_024
/** Rows of one attempt: a refused attempt costs little. */
const BATCH = 256
const AGAIN_MS = 1_000
/** A database that is away for longer takes the late outcomes of that time with it. */
const MAX_AGE_MS = 60_000

interface Waiting {
  readonly row: AuditEvent
  readonly untilMs: number
}

function rowOf({ tenantId, integrationId, messageId, topic, delivery }: LateOutcome): AuditEvent {
  const refused = delivery.state === 'refused'
  return {
    tenantId,
    action: 'proxy.publish.late',
    outcome: refused ? 'failure' : 'success',
    actor: { id: 'system' },
    object: { kind: 'integration', id: integrationId },
    messageId,
    detail: {
      topic: clip(topic),
      outcome: refused ? 'rejected' : delivery.state,
      reason_code: delivery.state === 'sent' ? null : delivery.reasonCode,
    },
  }
}

/**
 * Puts late outcomes on record as `proxy.publish.late`, off the way of every request: at most 1,024 wait, and are tried again
 * each second for a minute while the audit log does not take them.
 */
export function createLateOutcomes({ audit, clock, log }: { audit: Audit; clock: Clock; log: Log }): LateOutcomes {
  let waiting: Waiting[] = []
  let draining: Promise<number> | undefined
  let closed = false
  let lost = 0

  /** Tries rows of one tenant, and says whether they are on record. */
  async function recordSome(some: ReadonlySet<Waiting>): Promise<boolean> {
    try {
      await audit.record(...[...some].map(({ row }) => row))
      waiting = waiting.filter((one) => !some.has(one))
      return true
    } catch {
      const nowMs = clock.monotonic()
      const isLost = (one: Waiting) => some.has(one) && (closed || one.untilMs <= nowMs)
      lost += waiting.filter(isLost).length
      waiting = waiting.filter((one) => !isLost(one))
      return false
    }
  }

  /**
   * Tries some rows of every tenant at once: one whose chain takes none holds up nobody else's, and a stop waits once.
   *
   * @returns how many were lost
   */
  async function drain(): Promise<number> {
    while (waiting.length > 0) {
      const byTenant = Map.groupBy(waiting, ({ row }) => row.tenantId)
      const done = await Promise.all([...byTenant.values()].map((rows) => recordSome(new Set(rows.slice(0, BATCH)))))
      if (!done.every(Boolean) && !closed) await sleepUntil(clock.monotonic() + AGAIN_MS, clock)
    }
    draining = undefined
    const lostNow = lost
    lost = 0
    if (lostNow > 0) log.warn({ lost: lostNow }, 'late outcomes could not be put on record')
    return lostNow
  }

  return {
    record(late) {
      if (closed || waiting.length >= MAX_WAITING) lost++
      else waiting.push({ row: rowOf(late), untilMs: clock.monotonic() + MAX_AGE_MS })
      draining ??= drain()
    },
    async close() {
      closed = true
      const lostNow = (await draining) ?? 0
      if (lostNow > 0) throw new AppError('audit.unavailable', `${lostNow} late outcomes were not put on record.`)
    },
  }
}
