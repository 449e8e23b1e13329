import { AppError } from '../core/errors.ts'
import type { PolicyProblem } from '../policy/problems.ts'
import type { TestResult } from '../policy/simulate.ts'

/** Problems that a message spells out; `details` holds all of them. */
const SPELT_OUT = 5
const MAX_CHARACTERS = 400

/** A document that cannot decide, with every problem in `details`. */
export function invalidPolicy(problems: readonly PolicyProblem[]): AppError {
  const lines = problems.slice(0, SPELT_OUT).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  const more = problems.length > SPELT_OUT ? `; and ${problems.length - SPELT_OUT} more` : ''
  return new AppError('policy.invalid', `The policy is not valid: ${lines.join('; ')}${more}.`, {
    details: { problems },
  })
}

/** Words an embedded test that failed as a problem of the document: what it expected, and what is decided instead. */
export function describeTest({ name, expected, actual }: TestResult, index: number): PolicyProblem {
  const path = `tests[${index}]`
  const members = Object.keys(expected) as (keyof typeof expected)[]
  const words = (from: Partial<Record<keyof typeof expected, unknown>>) =>
    members
      .map((member) => (member === 'decision' ? String(from[member]) : `${member} ${JSON.stringify(from[member])}`))
      .join(', ')
  const because = actual.rule === null ? actual.reason : `${actual.reason} ${JSON.stringify(actual.rule)}`
  const label = name === path ? '' : `${name}: `
  const message = `${label}expected ${words(expected)}, but it is ${words(actual)} (${because})`
  return { path, message: message.slice(0, MAX_CHARACTERS).toWellFormed() }
}
