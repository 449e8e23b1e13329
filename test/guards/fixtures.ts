import assert from 'node:assert/strict'
import { createGuards, type Guards, type GuardsDeps } from '#src/guards/create-guards.ts'
import type { GuardsConfig } from '#src/guards/guards-config.ts'
import type { Caller, GuardedMessage, GuardOutcome } from '#src/guards/outcome.ts'
import { type ParseOptions, parseGuards } from '#src/guards/parse-guards.ts'

/** A clock that stands still until it is set. */
export class TestClock {
  nowMs = 0
  monotonic(): number {
    return this.nowMs
  }
}

/** Parses a document that has no problem. */
export function parsed(json: unknown, options: ParseOptions = { source: 'integration' }): GuardsConfig {
  const { guards, problems } = parseGuards(json, options)
  assert.deepEqual(problems, [])
  return guards ?? assert.fail('no guards')
}

/** The problems of a document, as `path: message`. */
export function problemsOf(json: unknown, options: ParseOptions = { source: 'integration' }): string[] {
  return parseGuards(json, options).problems.map(({ path, message }) => `${path}: ${message}`)
}

export function guardsOf(json: unknown, deps: Partial<GuardsDeps> = {}, previous?: Guards): Guards {
  return createGuards(parsed(json), { clock: new TestClock(), ...deps }, previous)
}

/** A message of QoS 0 that is not retained, on topic `t`, unless told otherwise. */
export function message(payload: string | Uint8Array, other: Partial<GuardedMessage> = {}): GuardedMessage {
  const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
  return { topic: 't', payload: bytes, qos: 0, retain: false, ...other }
}

export function publish(
  guards: Guards,
  payload: string | Uint8Array,
  other: Partial<GuardedMessage> = {},
  caller: Caller = {},
): GuardOutcome {
  return guards.checkPublish(message(payload, other), caller)
}

/** The class that an inspection refuses a payload for; `null` when it passes. */
export function classOf(
  guards: Guards,
  payload: string | Uint8Array,
  other: Partial<GuardedMessage> = {},
): string | null {
  const { refusal } = publish(guards, payload, other)
  return refusal === null ? null : (refusal.class ?? assert.fail(`${refusal.rule} without a class`))
}

/** Every class of patterns on. */
export const allPatterns = { sqli: true, 'command-injection': true, 'script-injection': true, 'path-traversal': true }
