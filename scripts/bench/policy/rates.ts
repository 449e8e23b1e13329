import type { CompiledPolicy } from '#src/policy/compile-policy.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { linearDecide } from '#test/policy/model/reference-decide.ts'
import { referencePolicy } from '#test/policy/model/reference-policy.ts'
import { createReferenceSession } from '#test/policy/model/reference-session.ts'
import { assertSameAnswers, measureRate, type Question, takeFor } from './measure.ts'
import { type Ask, asksOf, type Direction, documentOf, identities, type Workload } from './workload.ts'

export const REQUESTS = 20_000
/** The budget for growth compares with few rules and few requests, which fit into every cache of the processor. */
const FEW_REQUESTS = 500
const LINEAR_MS = 1_500

export interface RateRow {
  readonly workload: string
  readonly direction: Direction
  readonly rules: number
  readonly perS: number
  /** With ten rules and 500 requests. */
  readonly smallPerS: number
  /** The linear scan of the same run. */
  readonly linearPerS: number
  /** Requests that both answered, alike. */
  readonly compared: number
}

export function compiled(document: PolicyDocument): CompiledPolicy {
  const { policy, problems } = parsePolicy(document)
  if (policy === undefined) throw new Error(JSON.stringify(problems))
  return compilePolicy(policy)
}

/** Questions to the engine. Sessions are kept for each identity, as a gateway does. */
export function engineQuestions(policy: CompiledPolicy, asks: readonly Ask[]): readonly Question[] {
  const sessions = identities.map((identity) => createSession(policy, identity))
  return asks.map(({ who, request }) => [sessions[who] ?? createSession(policy, {}), request])
}

/** The same questions to a scan over all rules, patterns taken apart and variables filled in before. */
export function linearQuestions(document: PolicyDocument, asks: readonly Ask[]): readonly Question[] {
  const policy = referencePolicy(document)
  const deciders = identities.map((identity) => {
    const session = createReferenceSession(policy, identity)
    return { decide: (request: Ask['request']) => linearDecide(session, request) }
  })
  return asks.map(({ who, request }) => [
    deciders[who] ?? {
      decide: () => {
        throw new RangeError('nobody')
      },
    },
    request,
  ])
}

/** Few identities where there are many rules: what is known of each rule is kept for each identity. */
function linearAsks(asks: readonly Ask[], rules: number): readonly Ask[] {
  const people = Math.min(identities.length, Math.max(10, 10_000_000 / rules))
  return asks.filter(({ who }) => who < people)
}

/** Measures publishing and subscribing under one document. */
export function measureWorkload(workload: Workload, rules: number): readonly RateRow[] {
  const document = documentOf(workload, rules)
  const policy = compiled(document)
  const few = Math.min(10, rules)
  const smallPolicy = compiled(documentOf(workload, few))
  return (['publish', 'subscribe'] as const).map((direction) => {
    const asks = asksOf(workload, rules, direction, REQUESTS)
    const perS = measureRate(engineQuestions(policy, asks))
    const smallPerS = measureRate(engineQuestions(smallPolicy, asksOf(workload, few, direction, FEW_REQUESTS)))
    const fewAsks = linearAsks(asks, rules)
    const linear = takeFor(linearQuestions(document, fewAsks), LINEAR_MS)
    assertSameAnswers(engineQuestions(policy, fewAsks), linear, `${workload.name}, ${rules} rules`)
    const linearPerS = measureRate(linear, 50)
    return { workload: workload.name, direction, rules, perS, smallPerS, linearPerS, compared: linear.length }
  })
}
