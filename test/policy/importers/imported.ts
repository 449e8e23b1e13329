import assert from 'node:assert/strict'
import type { AccessAction, AccessRequest, Decision } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { importPolicy } from '#src/policy/importers/import-policy.ts'
import type { ImportNote, ImportOptions } from '#src/policy/importers/import-result.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import type { PolicyProblem } from '#src/policy/problems.ts'

type Extras = Pick<AccessRequest, 'qos' | 'retain'>

/** The requests of one identity. */
export interface Subject {
  decide(action: AccessAction, topic: string, extras?: Extras): Decision
  allows(action: AccessAction, topic: string, extras?: Extras): boolean
}

export interface Imported {
  readonly document: PolicyDocument
  readonly notes: readonly ImportNote[]
  /** Without `delivery` the surface checks no deliveries. */
  as(identity: Identity, delivery?: boolean): Subject
}

/** Makes a document ready for decisions by the way that a stored one goes. */
export function subjectsOf(document: PolicyDocument): Imported['as'] {
  const { policy, problems } = parsePolicy(JSON.parse(JSON.stringify(document)))
  assert.ok(policy !== undefined, `${JSON.stringify(problems)} in ${JSON.stringify(document)}`)
  const compiled = compilePolicy(policy)
  return (identity, delivery = true) => {
    const session = createSession(compiled, identity)
    const decide: Subject['decide'] = (action, topic, extras) => session.decide({ action, topic, ...extras }, delivery)
    return { decide, allows: (action, topic, extras) => decide(action, topic, extras).decision === 'allow' }
  }
}

/** Imports a source that has to be accepted. */
export function imported(dialect: string, input: unknown, options?: ImportOptions): Imported {
  const result = importPolicy(dialect, input, options)
  if (result.document === undefined)
    assert.fail(`refused: ${JSON.stringify(result.problems)} of ${JSON.stringify(input)}`)
  return { ...result, as: subjectsOf(result.document) }
}

/** The problems of a source that has to be refused. */
export function refused(dialect: string, input: unknown, options?: ImportOptions): readonly PolicyProblem[] {
  const result = importPolicy(dialect, input, options)
  if (result.document !== undefined) assert.fail(`accepted: ${JSON.stringify(result.document)}`)
  assert.ok(result.problems.length > 0)
  return result.problems
}

/** Holds that a source is refused at one place, with words that say what to do. */
export function assertRefused(dialect: string, input: unknown, at: string, message: RegExp): void {
  const problems = refused(dialect, input)
  const found = problems.find(({ path }) => path === at)
  assert.match(found?.message ?? '', message, `at ${JSON.stringify(at)}: ${JSON.stringify(problems)}`)
}

export function hasNote({ notes }: Imported, kind: ImportNote['kind'], path: string): boolean {
  return notes.some((note) => note.kind === kind && note.path === path)
}
