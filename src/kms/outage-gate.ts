import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../core/errors.ts'

export interface OutageGate {
  /**
   * Runs `ask`, sixteen at a time, unless nobody answered a moment ago. Then everybody is refused at once until the wait is
   * over; one asks, and the others wait for what it hears, but no longer than an answer takes.
   *
   * @throws {AppError} `kms.unavailable` without asking; else what `ask` throws
   */
  run<T>(ask: () => Promise<T>): Promise<T>
}

export interface OutageGateOptions {
  /** Milliseconds. */
  monotonic: () => number
  /** In [0, 1). */
  random: () => number
  /** Whether a failure says that nobody answers, or asks for less, as against a no to this request. */
  isOutage: (err: unknown) => boolean
}

/** Full jitter below a wait that doubles; the most is short, so that service is back soon after its cause has gone. */
const WAIT_MS = { first: 250, most: 2_000, least: 50 }
/** Milliseconds that others wait for the one that asks: many times what a KMS takes that answers. */
const PROBE_WAIT_MS = 250
const MAX_AT_ONCE = 16
const MAX_WAITING = 1_024

function refusal(why: string): AppError {
  return new AppError('kms.unavailable', 'The key wrapper does not answer.', { cause: new Error(why), retryAfterS: 1 })
}

/** Keeps callers from asking again what nobody answers: however many they are, they do not multiply the attempts. */
export function createOutageGate({ monotonic, random, isOutage }: OutageGateOptions): OutageGate {
  let outage: { untilMs: number; waits: number } | undefined
  /** Settles, without an error, when the one that asks has heard; `undefined` while nobody does. */
  let probe: Promise<void> | undefined
  let running = 0
  const waiting: (() => void)[] = []

  async function enter(): Promise<void> {
    if (running >= MAX_AT_ONCE) {
      if (waiting.length >= MAX_WAITING) throw refusal('too many wait for it')
      await new Promise<void>((resolve) => waiting.push(resolve)) // whoever leaves hands its place on
    } else running++
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else running--
  }

  function failed(wasProbe: boolean): void {
    if (outage && !wasProbe) return // it had begun before: the same outage
    const waits = (outage?.waits ?? 0) + 1
    const mostMs = Math.min(WAIT_MS.first * 2 ** (waits - 1), WAIT_MS.most)
    outage = { untilMs: monotonic() + Math.max(WAIT_MS.least, random() * mostMs), waits }
  }

  async function askNow<T>(ask: () => Promise<T>, isProbe: boolean): Promise<T> {
    if (outage && !isProbe) throw refusal('nobody answered while it waited for a place')
    try {
      const answer = await ask()
      outage = undefined
      return answer
    } catch (err) {
      if (isOutage(err)) failed(isProbe)
      else outage = undefined // a no is an answer
      throw err
    }
  }

  async function inPlace<T>(ask: () => Promise<T>, isProbe: boolean): Promise<T> {
    await enter()
    try {
      return await askNow(ask, isProbe)
    } finally {
      leave()
    }
  }

  return {
    async run(ask) {
      if (probe) await Promise.race([probe, delay(PROBE_WAIT_MS, undefined, { ref: false })])
      if (!outage) return inPlace(ask, false)
      if (probe || monotonic() < outage.untilMs) throw refusal('nobody answered a moment ago')
      const heard = Promise.withResolvers<void>()
      probe = heard.promise
      try {
        return await inPlace(ask, true)
      } finally {
        probe = undefined
        heard.resolve()
      }
    },
  }
}
