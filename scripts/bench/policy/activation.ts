import { type CompiledPolicy, compilePolicyInSlices } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { parsePolicyInSlices } from '#src/policy/parse-policy.ts'
import { heapMiB, processorMs } from './measure.ts'
import { type Ask, asksOf, documentOf, identities } from './workload.ts'
import { mix } from './workloads.ts'

const RULES = 100_000

export interface Activation {
  readonly rules: number
  readonly parseMs: number
  readonly compileMs: number
  /** The longest times that nothing else could run. */
  readonly parsePauseMs: number
  readonly compilePauseMs: number
  /** Heap that the policy takes beside its document, and that each kept session takes. */
  readonly policyMiB: number
  readonly sessionKiB: number
  /** Microseconds that a new session and its first decision take together. */
  readonly firstDecisionUs: number
}

/**
 * Runs work and watches how long the event loop is kept from its turn. What others on the machine take shows in the clock, and
 * threads that help collect garbage show in the processor time; a pause is no longer than either.
 */
async function withPauses<T>(work: () => Promise<T>): Promise<{ result: T; ms: number; longestPauseMs: number }> {
  const started = { clockMs: performance.now(), processorMs: processorMs() }
  let last = started
  let longestPauseMs = 0
  let isOver = false
  const look = () => {
    const now = { clockMs: performance.now(), processorMs: processorMs() }
    const pauseMs = Math.min(now.clockMs - last.clockMs, now.processorMs - last.processorMs)
    longestPauseMs = Math.max(longestPauseMs, pauseMs)
    last = now
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  const result = await work()
  isOver = true
  look()
  return { result, ms: processorMs() - started.processorMs, longestPauseMs }
}

/** Mean time of a session's first decision, and what the sessions hold afterwards. */
function measureSessions(policy: CompiledPolicy, asks: readonly Ask[]) {
  const before = heapMiB()
  let allows = 0
  const startedMs = processorMs()
  const sessions = asks.map(({ who, request }) => {
    const session = createSession(policy, { ...identities[who] })
    if (session.decide(request).decision === 'allow') allows++
    return session
  })
  const ms = processorMs() - startedMs
  const kib = (heapMiB() - before) * 1024
  if (allows === 0 || allows === sessions.length) throw new Error('first decisions that all come out alike')
  return { firstDecisionUs: (ms / sessions.length) * 1000, sessionKiB: kib / sessions.length }
}

/** Takes a document of 100,000 rules into use beside other work. */
export async function measureActivation(): Promise<Activation> {
  const document = documentOf(mix, RULES)
  const asks = asksOf(mix, RULES, 'publish', 20_000)
  const before = heapMiB()
  const parsed = await withPauses(() => parsePolicyInSlices(document))
  const { policy, problems } = parsed.result
  if (policy === undefined) throw new Error(JSON.stringify(problems))
  const activated = await withPauses(() => compilePolicyInSlices(policy))
  const policyMiB = heapMiB() - before
  measureSessions(activated.result, asks.slice(0, 5_000)) // warm
  return {
    rules: RULES,
    parseMs: parsed.ms,
    compileMs: activated.ms,
    parsePauseMs: parsed.longestPauseMs,
    compilePauseMs: activated.longestPauseMs,
    policyMiB,
    ...measureSessions(activated.result, asks),
  }
}
