import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Access, Ruling } from './access.ts'
import type { Qos } from './broker-limits.ts'
import { deniedByPolicy } from './permission.ts'

/** Messages that were withheld for one reason. */
export interface Refused {
  /** Of the first one. */
  readonly topic: string
  /** As it was then. */
  readonly policy: Ruling['policy']
  readonly rule: string | null
  readonly reason: string
  count: number
}

export interface DeliveryCheck {
  /** Whether a message may be handed on; those that may not are counted. */
  allow(topic: string): boolean
  /** @throws {AppError} when the subscription is not allowed any more, or that is not known */
  assertAllowed(): void
  refused(): readonly Refused[]
  /** Something was withheld because nobody knew whether it is allowed: it may have been. */
  readonly missed: boolean
  stop(): void
}

/** What the subscription was granted by, and when it was asked, on the monotonic clock. */
export interface Granting {
  readonly access: Access
  readonly policy: Ruling['policy']
  readonly askedMs: number
}

/** What an answer comes to; without access, `err` says why. */
type Standing = { readonly policy: Ruling['policy'] } & (
  | { readonly access: Access }
  | { readonly access: null; readonly err: AppError }
)

/** Milliseconds between two questions. */
const REFRESH_MS = 1_000
/** Milliseconds after which an answer is worth nothing, should no newer one come. */
const MAX_AGE_MS = 5_000
/** Reasons that are told apart; what goes beyond them is counted together, as `other`. */
const MAX_REASONS = 20

function unknown(cause?: unknown): AppError {
  return new AppError('database.unavailable', 'Whether the subscription is still allowed is not known.', {
    cause,
    retryAfterS: 1,
  })
}

/** What is gone or forbidden is a refusal of its own; what else fails leaves it unknown. */
function failureOf(err: unknown): AppError {
  const refused = err instanceof AppError && (err.code === 'object.not_found' || err.code === 'operation.not_allowed')
  return refused ? err : unknown(err)
}

/**
 * Judges messages as they come, by what is allowed at that time: it is asked again every second, with the QoS that the
 * caller asked for. Nothing is handed on once the subscription itself is not allowed, while that cannot be known, and when
 * the last answer is to a question of more than 5 s ago. An answer that a later one overtook changes nothing.
 */
export function createDeliveryCheck(
  granting: Granting,
  renew: () => Promise<Access>,
  asked: { readonly filter: string; readonly qos: Qos },
  clock: Clock,
): DeliveryCheck {
  let standing: Standing = granting
  let { askedMs } = granting
  const refusals = new Map<string, Refused>()
  let missed = false

  async function ask(): Promise<Standing> {
    try {
      const access = await renew()
      const ruling = access.subscribe(asked.filter, asked.qos)
      const { policy } = ruling
      return ruling.allowed ? { access, policy } : { access: null, policy, err: deniedByPolicy(ruling) }
    } catch (err) {
      return { access: null, policy: null, err: failureOf(err) }
    }
  }

  async function refresh(): Promise<void> {
    const startedMs = clock.monotonic()
    const answer = await ask()
    if (startedMs < askedMs) return
    askedMs = startedMs
    standing = answer
  }
  const timer = setInterval(() => void refresh(), REFRESH_MS)

  /** The standing as it counts now: an access that is too old is none. */
  function current(): Standing {
    const isOld = clock.monotonic() - askedMs > MAX_AGE_MS
    return standing.access && isOld ? { access: null, policy: null, err: unknown() } : standing
  }

  function note(refused: Omit<Refused, 'count'>): void {
    const { reason, rule, policy } = refused
    const key = JSON.stringify([reason, rule, policy])
    const isOther = !refusals.has(key) && refusals.size >= MAX_REASONS
    const bucket = isOther ? 'other' : key
    const known = refusals.get(bucket)
    if (known) known.count++
    else refusals.set(bucket, { ...refused, ...(isOther && { policy: null, rule: null, reason: 'other' }), count: 1 })
  }

  return {
    allow(topic) {
      const now = current()
      if (now.access) {
        const { allowed, rule, reason } = now.access.receive(topic)
        if (!allowed) note({ topic, policy: now.policy, rule, reason })
        return allowed
      }
      const isUnknown = now.err.code === 'database.unavailable'
      if (isUnknown) missed = true
      const reason = isUnknown ? 'unknown' : 'withdrawn'
      note({ topic, policy: now.policy, rule: null, reason })
      return false
    },
    assertAllowed() {
      const now = current()
      if (now.access === null) throw now.err
    },
    refused: () => [...refusals.values()],
    get missed() {
      return missed
    },
    stop: () => clearInterval(timer),
  }
}
