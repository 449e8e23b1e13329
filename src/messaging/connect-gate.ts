import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { rejected } from '../outbound/dial-errors.ts'
import { reasonCodes, reasonName, refusesCredential, refusesPassword, saysNotReady } from './reason-codes.ts'

/** Memory of one broker connection's failures: when the next attempt may be made, and what the last one said. */
export interface Gate {
  readonly failures: number
  /** On the monotonic clock. */
  readonly closedUntilMs: number
  /** Whether callers wait for the next attempt, or are answered with the last failure. */
  readonly failsFast: boolean
  readonly lastFailure: AppError
  /** One tries, and nothing is known of it yet. */
  readonly isTried?: boolean
  /** Sessions in a row that another client took over. */
  readonly takenOver?: number
}

const BASE_MS = 250
const CAP_MS = 60_000
/** Of a broker that is not there, or says that it is not ready: when it is, whoever publishes finds it within five seconds. */
const AWAY_CAP_MS = 4_000
const BREAKER_FAILURES = 5
/** A credential that a broker refused is not shown to it again for so long; a new version of it is another gate. */
const REFUSED_CREDENTIAL_MS = 60_000
/** Somebody else uses our client id, and takes every session; after so many in a row we stop, and for so long. */
const TAKEN_OVER_LIMIT = 3
const TAKEN_OVER_MS = 300_000

function isRefusal({ code, details }: AppError, refuses: (reasonCode: number) => boolean): boolean {
  const reasonCode = details?.['reason_code']
  return code === 'broker.rejected' && typeof reasonCode === 'number' && refuses(reasonCode)
}

/** Reports whether an error of connecting holds for every integration with the same credential. */
export function isPasswordRefusal(err: AppError): boolean {
  return isRefusal(err, refusesPassword)
}

/** Reports whether an error of connecting says something about the broker, and not about us or the request. */
export function countsAsFailure(err: unknown): err is AppError {
  return err instanceof AppError && (err.code === 'broker.unreachable' || err.code === 'broker.rejected')
}

function isAway(failure: AppError): boolean {
  return failure.code === 'broker.unreachable' || isRefusal(failure, saysNotReady)
}

/**
 * Closes the gate after a failure: exponential backoff with full jitter, at least half a slot once the breaker is open
 * (five failures in a row), a minute for a refused credential. `random` is in [0, 1).
 */
export function afterFailure(gate: Gate | undefined, failure: AppError, nowMs: number, random: number): Gate {
  const failures = (gate?.failures ?? 0) + 1
  const refused = isRefusal(failure, refusesCredential)
  const slotMs = Math.min(isAway(failure) ? AWAY_CAP_MS : CAP_MS, BASE_MS * 2 ** failures)
  const open = failures >= BREAKER_FAILURES
  const delayMs = refused ? REFUSED_CREDENTIAL_MS : open ? slotMs * (0.5 + random / 2) : slotMs * random
  const closedUntilMs = nowMs + delayMs
  return { ...gate, failures, closedUntilMs, failsFast: refused || open, lastFailure: failure, isTried: false }
}

/** Puts the next attempt behind those at the tenant's other lost brokers; a refused credential waits for longer anyway. */
export function spaced(gate: Gate, notBefore: () => number): Gate {
  if (!gate.failsFast || !isAway(gate.lastFailure)) return gate
  return { ...gate, closedUntilMs: Math.max(gate.closedUntilMs, notBefore()) }
}

/** As `afterFailure`, when another client took the session over: the third in a row closes the gate for five minutes. */
export function afterTakeOver(gate: Gate | undefined, nowMs: number, random: number): Gate & { stopped: boolean } {
  const name = reasonName(reasonCodes.sessionTakenOver)
  const failure = rejected(
    `The broker gave the session to another client: ${name}.`,
    name,
    reasonCodes.sessionTakenOver,
  )
  const takenOver = (gate?.takenOver ?? 0) + 1
  const next = { ...afterFailure(gate, failure, nowMs, random), takenOver }
  if (takenOver < TAKEN_OVER_LIMIT) return { ...next, stopped: false }
  return { ...next, closedUntilMs: nowMs + TAKEN_OVER_MS, failsFast: true, stopped: true }
}

/** What a broker's last failure was, said again without asking the broker: it is news to nobody, and in no log twice. */
export class RememberedFailure extends AppError {}

/** The answer while the gate is closed: the last failure again, with the time that is left. */
export function refusalOf({ lastFailure, closedUntilMs }: Gate, nowMs: number): RememberedFailure {
  const { code, message, details } = lastFailure
  return new RememberedFailure(code, message, {
    cause: lastFailure,
    retryAfterS: Math.max(1, Math.ceil((closedUntilMs - nowMs) / 1000)),
    ...(details && { details }),
  })
}

export interface Gates {
  /**
   * Answers until when an attempt waits (0: not at all).
   *
   * @throws {AppError} the last failure again, while the breaker is open or the credential refused
   */
  pass(key: string): number
  /** Throws as `pass` would now; takes no leave to try. */
  assertOpen(key: string): void
  /** `notBefore` is asked for the time of the next attempt once the breaker is open. */
  failed(key: string, failure: AppError, notBefore?: () => number): void
  /** Whoever had passed has found out nothing: the next one may try. */
  gaveUp(key: string): void
  /** Another client took the session over; answers whether that closes the gate for long. */
  takenOver(key: string): boolean
  /** A login: attempts are free again; the count of failures stands until the connection has proved stable. */
  loggedIn(key: string): void
  forget(key: string): void
}

const MAX_REMEMBERED = 10_000

/** Keeps one gate for each key. `halfOpenMs`: how long one attempt keeps the others out once the breaker was open. */
export function createGates(options: { clock: Clock; random: () => number; halfOpenMs: number }): Gates {
  const { clock, random, halfOpenMs } = options
  const gates = new LRUCache<string, Gate>({ max: MAX_REMEMBERED })
  return {
    pass(key) {
      const gate = gates.get(key)
      if (!gate) return 0
      if (!gate.failsFast) return gate.closedUntilMs
      const nowMs = clock.monotonic()
      if (nowMs < gate.closedUntilMs) throw refusalOf(gate, nowMs)
      gates.set(key, { ...gate, closedUntilMs: nowMs + halfOpenMs, isTried: true })
      return 0
    },
    assertOpen(key) {
      const gate = gates.get(key)
      const nowMs = clock.monotonic()
      if (gate?.failsFast && nowMs < gate.closedUntilMs) throw refusalOf(gate, nowMs)
    },
    failed(key, failure, notBefore = () => 0) {
      gates.set(key, spaced(afterFailure(gates.get(key), failure, clock.monotonic(), random()), notBefore))
    },
    gaveUp(key) {
      const gate = gates.get(key)
      if (gate?.isTried) gates.set(key, { ...gate, closedUntilMs: clock.monotonic(), isTried: false })
    },
    takenOver(key) {
      const { stopped, ...gate } = afterTakeOver(gates.get(key), clock.monotonic(), random())
      gates.set(key, gate)
      return stopped
    },
    loggedIn(key) {
      const gate = gates.get(key)
      if (gate) gates.set(key, { ...gate, closedUntilMs: 0, failsFast: false, isTried: false })
    },
    forget: (key) => void gates.delete(key),
  }
}
