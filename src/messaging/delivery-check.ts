import type { Access } from './access.ts'
import type { Qos } from './broker-limits.ts'

/** Messages that were withheld for one reason. */
export interface Refused {
  /** Of the first one. */
  readonly topic: string
  readonly rule: string | null
  readonly reason: string
  count: number
}

export interface DeliveryCheck {
  allow(topic: string): boolean
  refused(): readonly Refused[]
  stop(): void
}

/** Milliseconds after which a changed policy is heard of, beside what its cache takes. */
const REFRESH_MS = 1_000
/** Reasons that are told apart; what goes beyond them is counted with the last. */
const MAX_REASONS = 20

/**
 * Judges messages as they come, by what is allowed at that time: the access is asked for again every second, and while that
 * fails, or once the subscription itself is no longer allowed, nothing is handed on.
 */
export function createDeliveryCheck(
  initial: Access,
  renew: () => Promise<Access>,
  filter: string,
  qos: Qos,
): DeliveryCheck {
  let access: Access | null = initial
  const refusals = new Map<string, Refused>()

  async function refresh(): Promise<void> {
    try {
      const next = await renew()
      access = next.subscribe(filter, qos).allowed ? next : null
    } catch {
      access = null // what cannot be known allows nothing; the next second asks again
    }
  }
  const timer = setInterval(() => void refresh(), REFRESH_MS)

  function note(topic: string, rule: string | null, reason: string): void {
    const key = `${reason} ${rule}`
    const known = refusals.get(key) ?? (refusals.size < MAX_REASONS ? undefined : [...refusals.values()].at(-1))
    if (known) known.count++
    else refusals.set(key, { topic, rule, reason, count: 1 })
  }

  return {
    allow(topic) {
      const { allowed, rule, reason } = access?.receive(topic) ?? { allowed: false, rule: null, reason: 'withdrawn' }
      if (!allowed) note(topic, rule, reason)
      return allowed
    },
    refused: () => [...refusals.values()],
    stop: () => clearInterval(timer),
  }
}
