import type { AccessRequest, Decision } from './access.ts'
import type { CompiledPolicy } from './compile-policy.ts'
import { createSession } from './decide.ts'
import { explain, type TraceStep } from './explain.ts'
import type { Identity } from './identity.ts'
import type { PolicyTest } from './rule.ts'

export interface Simulated extends Decision {
  readonly trace: readonly TraceStep[]
}

/** Decides requests of one identity as the engine does, because it is the engine, and tells of every rule what became of it. */
export function simulate(
  compiled: CompiledPolicy,
  identity: Identity,
  requests: readonly AccessRequest[],
  delivery = true,
): Simulated[] {
  const session = createSession(compiled, identity)
  return requests.map((request) => ({
    ...session.decide(request, delivery),
    trace: explain(compiled, identity, request, delivery),
  }))
}

export interface TestResult {
  readonly name: string
  readonly passed: boolean
  readonly expected: PolicyTest['expect']
  readonly actual: Decision
}

/** Judges one case; only the members that it expects are compared. */
export function runTest(compiled: CompiledPolicy, test: PolicyTest): TestResult {
  const { name, as, do: action, topic, qos, retain, expect } = test
  const actual = createSession(compiled, as).decide({ action, topic, qos, retain })
  const passed = (Object.keys(expect) as (keyof typeof expect)[]).every((member) => expect[member] === actual[member])
  return { name, passed, expected: expect, actual }
}

/** Judges a policy by the cases that its document brings. */
export function runTests(compiled: CompiledPolicy): TestResult[] {
  return compiled.policy.tests.map((test) => runTest(compiled, test))
}
