import type { Clock } from '../core/clock.ts'
import { NO_TENANT } from '../core/ids.ts'
import type { Audit, AuditEvent } from './audit.ts'

export interface RefusalSummary {
  /** Counts a refusal before authentication; `source` is the address it came from. Never waits, never fails. */
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

/**
 * Counts what was refused before anybody was authenticated. A flood costs one row for each source and minute; beyond 10,000
 * counters the rest of a minute is counted together, as the source `others`.
 */
export function createRefusalSummary({ audit, clock }: { audit: Audit; clock: Clock }): RefusalSummary {
  /** By minute, then by source. */
  const minutes = new Map<number, Map<string, number>>()

  function add(minuteMs: number, source: string, count: number): void {
    const counters = minutes.get(minuteMs) ?? new Map<string, number>()
    minutes.set(minuteMs, counters)
    const size = [...minutes.values()].reduce((sum, each) => sum + each.size, 0)
    const name = counters.has(source) || size < MAX_COUNTERS ? source : 'others'
    counters.set(name, (counters.get(name) ?? 0) + count)
  }

  async function recordBefore(endMs: number): Promise<void> {
    const over = [...minutes].filter(([minuteMs]) => minuteMs < endMs)
    for (const [minuteMs, counters] of over) {
      minutes.delete(minuteMs)
      const left = [...counters]
      try {
        while (left.length > 0) {
          await audit.record(...left.slice(0, BATCH).map(([source, count]) => eventOf(minuteMs, source, count)))
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

function eventOf(minuteMs: number, source: string, count: number): AuditEvent {
  return {
    tenantId: NO_TENANT,
    action: 'auth.refused_summary',
    outcome: 'denied',
    actor: { id: 'system' },
    detail: { source, count, minute: new Date(minuteMs).toISOString() },
  }
}
