import type { Clock } from '../core/clock.ts'
import { NO_TENANT } from '../core/ids.ts'
import type { Audit, AuditEvent } from './audit.ts'

export interface RefusalSummary {
  /** Counts a refusal; `source` is whom it is counted for. Never waits, never fails. */
  count(source: string): void
  /**
   * Records the minutes that are over, one row for each source; what could not be recorded is kept for the next time.
   *
   * @throws {AppError} `audit.unavailable`
   */
  flush(): Promise<void>
  /** As `flush`, the minute that still runs included. */
  close(): Promise<void>
}

const MINUTE_MS = 60_000
const MAX_COUNTERS = 10_000
/** Rows of one call, few enough for a flush. */
const BATCH = 500

export interface RefusalSummaryDeps {
  audit: Audit
  clock: Clock
  /** The row of a source; by default that of an address whose keys were refused. */
  eventOf?: (source: string, facts: { count: number; minute: string }) => AuditEvent
}

const OTHERS = 'others'

/**
 * Counts what was refused without a row of its own: before anybody was authenticated, or by a limit. A flood costs one row
 * for each source and minute; beyond 10,000 counters the rest of a minute is counted together, as the source `others`.
 */
export function createRefusalSummary({
  audit,
  clock,
  eventOf = unauthenticatedEvent,
}: RefusalSummaryDeps): RefusalSummary {
  /** By minute, then by source. */
  const minutes = new Map<number, Map<string, number>>()

  function add(minuteMs: number, source: string, count: number): void {
    const counters = minutes.get(minuteMs) ?? new Map<string, number>()
    minutes.set(minuteMs, counters)
    const size = [...minutes.values()].reduce((sum, each) => sum + each.size, 0)
    const name = counters.has(source) || size < MAX_COUNTERS ? source : OTHERS
    counters.set(name, (counters.get(name) ?? 0) + count)
  }

  async function recordBefore(endMs: number): Promise<void> {
    const over = [...minutes].filter(([minuteMs]) => minuteMs < endMs)
    for (const [minuteMs, counters] of over) {
      minutes.delete(minuteMs)
      const left = [...counters]
      const minute = new Date(minuteMs).toISOString()
      try {
        while (left.length > 0) {
          await audit.record(...left.slice(0, BATCH).map(([source, count]) => eventOf(source, { count, minute })))
          left.splice(0, BATCH)
        }
      } finally {
        for (const [source, count] of left) add(minuteMs, source, count)
      }
    }
  }

  const currentMinute = () => Math.floor(clock.now() / MINUTE_MS) * MINUTE_MS
  return {
    count: (source) => add(currentMinute(), source, 1),
    flush: () => recordBefore(currentMinute()),
    close: () => recordBefore(Number.POSITIVE_INFINITY),
  }
}

function unauthenticatedEvent(source: string, facts: { count: number; minute: string }): AuditEvent {
  return {
    tenantId: NO_TENANT,
    action: 'auth.refused_summary',
    outcome: 'denied',
    actor: { id: 'system' },
    detail: { source, ...facts },
  }
}

/** Whom a refusal of a limit is counted for. */
export function limitedSource({ tenantId, keyId }: { tenantId: string; keyId: string }, code: string): string {
  return `${tenantId} ${keyId} ${code}`
}

/** The row of refusals by a limit: in the chain of the tenant whose key it was. */
export function limitedEvent(source: string, facts: { count: number; minute: string }): AuditEvent {
  const [tenantId = NO_TENANT, keyId = 'system', code = OTHERS] = source === OTHERS ? [] : source.split(' ')
  const actor = { id: keyId }
  return { tenantId, action: 'request.limited_summary', outcome: 'denied', actor, detail: { code, ...facts } }
}
