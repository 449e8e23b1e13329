import type { Qos } from '../policy/document.ts'
import type { Severity } from './guards-config.ts'

export type GuardName = 'rate' | 'qos' | 'retained' | 'inspection'

export type GuardRule = 'rate-limited' | 'qos-denied' | 'retained-denied' | 'inspection-blocked'

/** What one guard has against a message. */
export interface Refusal {
  readonly rule: GuardRule
  readonly guard: GuardName
  /** Public, in words; never anything of the payload. */
  readonly reason: string
  /** The limit that is used up: `global`, `per-client:<key>` or `per-topic:<filter>`. */
  readonly limit?: string
  /** What the inspection found first, in the order in which classes are reported. */
  readonly class?: string
  /** All that the inspection found, in that order. */
  readonly classes?: readonly string[]
  /** The highest of what was looked for and found; for audit only. */
  readonly severity?: Severity
  /** Whole seconds after which the limits that were hit would let the message through; absent when none ever would. */
  readonly retryAfterS?: number
  /** What an internal error of the guard was; for the log. */
  readonly cause?: unknown
}

/** The message as the policy forwards it. */
export interface GuardedMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
}

/** Who publishes. For an integration `clientId` is the id of the API key. */
export interface Caller {
  readonly clientId?: string
  readonly username?: string
  readonly ip?: string
}

export interface GuardOutcome {
  /** The first thing that keeps the message from being forwarded. */
  readonly refusal: Refusal | null
  /** To forward with. */
  readonly qos: Qos
  readonly retain: boolean
  /** What was found and let through: by `block-mode: false`, `block-on-failure: false` or `fail-open`. */
  readonly findings: readonly Refusal[]
}
