import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { refusesCredential } from './reason-codes.ts'

/** Memory of one broker connection's failures: when the next attempt may be made, and what the last one said. */
export interface Gate {
  readonly failures: number
  /** On the monotonic clock. */
  readonly closedUntilMs: number
  /** Whether callers wait for the next attempt, or are answered with the last failure. */
  readonly failsFast: boolean
  readonly lastFailure: AppError
}

const BASE_MS = 250
const CAP_MS = 60_000
const BREAKER_FAILURES = 5
/** A credential that a broker refused is not shown to it again for so long; a new version of it is another gate. */
const REFUSED_CREDENTIAL_MS = 60_000

function isCredentialRefusal({ code, details }: AppError): boolean {
  const reasonCode = details?.['reason_code']
  return code === 'broker.rejected' && typeof reasonCode === 'number' && refusesCredential(reasonCode)
}

/** Reports whether an error of connecting says something about the broker, and not about us or the request. */
export function countsAsFailure(err: unknown): err is AppError {
  return err instanceof AppError && (err.code === 'broker.unreachable' || err.code === 'broker.rejected')
}

/**
 * Closes the gate after a failure: exponential backoff with full jitter, at least half a slot once the breaker is open
 * (five failures in a row), a minute for a refused credential. `random` is in [0, 1).
 */
export function afterFailure(gate: Gate | undefined, failure: AppError, nowMs: number, random: number): Gate {
  const failures = (gate?.failures ?? 0) + 1
  const refused = isCredentialRefusal(failure)
  const slotMs = Math.min(CAP_MS, BASE_MS * 2 ** failures)
  const open = failures >= BREAKER_FAILURES
  const delayMs = refused ? REFUSED_CREDENTIAL_MS : open ? slotMs * (0.5 + random / 2) : slotMs * random
  return { failures, closedUntilMs: nowMs + delayMs, failsFast: refused || open, lastFailure: failure }
}

/** The answer while the gate is closed: the last failure again, with the time that is left. */
export function refusalOf({ lastFailure, closedUntilMs }: Gate, nowMs: number): AppError {
  const { code, message, details } = lastFailure
  return new AppError(code, message, {
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
  failed(key: string, failure: AppError): void
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
      gates.set(key, { ...gate, closedUntilMs: nowMs + halfOpenMs })
      return 0
    },
    failed(key, failure) {
      gates.set(key, afterFailure(gates.get(key), failure, clock.monotonic(), random()))
    },
    loggedIn(key) {
      const gate = gates.get(key)
      if (gate) gates.set(key, { ...gate, closedUntilMs: 0, failsFast: false })
    },
    forget: (key) => void gates.delete(key),
  }
}
