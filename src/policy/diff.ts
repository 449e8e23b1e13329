import type { AccessRequest, Decision } from './access.ts'
import type { CompiledPolicy } from './compile-policy.ts'
import { createSession } from './decide.ts'
import { DiffCases, type NamedIdentity } from './diff-cases.ts'
import type { Identity } from './identity.ts'

export type { NamedIdentity } from './diff-cases.ts'

/** A request that two policies decide differently. */
export interface DecisionChange {
  /** Who asked: the name of an identity that was given, or how one was made. */
  readonly who: string
  readonly identity: Identity
  readonly request: AccessRequest
  readonly before: Decision
  readonly after: Decision
}

export interface ChangeGroup {
  /** All of them; those that are told are fewer where many are alike. */
  readonly total: number
  readonly changes: readonly DecisionChange[]
}

export interface PolicyDiff {
  /** Requests that both policies were asked. */
  readonly compared: number
  readonly identities: number
  /** More is allowed: a deny became an allow, or an allow gives more. */
  readonly looser: ChangeGroup
  /** Less is allowed. */
  readonly stricter: ChangeGroup
  /** As much is allowed, for another reason or by another rule. */
  readonly changed: ChangeGroup
  /** Whether everything was asked that the rules that differ give rise to. */
  readonly isComplete: boolean
}

export interface DiffOptions {
  /** Asked about first; more are made from the conditions of the rules. */
  readonly identities?: readonly NamedIdentity[]
  /** Whether the surface checks each delivery; `true` by default. */
  readonly delivery?: boolean
}

/** Requests that are asked: fewer of large policies, where a filter takes longer to decide. */
function maxCompared(rules: number): number {
  return Math.min(Math.max(Math.floor(1e9 / (rules + 1)), 50_000), 500_000)
}

const MAX_TOLD = 50
/** Changes of one action from one rule to another that are told. */
const MAX_ALIKE = 3

class Group implements ChangeGroup {
  total = 0
  readonly changes: DecisionChange[] = []
  readonly #alike = new Map<string, number>()

  add(change: DecisionChange): void {
    this.total++
    const kind = JSON.stringify([change.request.action, change.before.rule, change.after.rule])
    const alike = this.#alike.get(kind) ?? 0
    if (alike >= MAX_ALIKE || this.changes.length >= MAX_TOLD) return
    this.#alike.set(kind, alike + 1)
    this.changes.push(change)
  }
}

/** How much a decision allows, most significant first. */
function allowance({ decision, reason, qos, retain }: Decision): readonly number[] {
  return [Number(decision === 'allow'), Number(reason !== 'filtered'), qos ?? 0, Number(retain ?? false)]
}

function isSame(a: Decision, b: Decision): boolean {
  return (
    a.decision === b.decision && a.reason === b.reason && a.rule === b.rule && a.qos === b.qos && a.retain === b.retain
  )
}

function kindOf({ before, after }: DecisionChange): 'looser' | 'stricter' | 'changed' {
  const [less, more] = [allowance(before), allowance(after)]
  const at = more.findIndex((value, i) => value !== less[i])
  if (at === -1) return 'changed'
  return (more[at] as number) > (less[at] as number) ? 'looser' : 'stricter'
}

/**
 * Compares what two policies decide, not how they are written. What they are asked comes from the patterns of both, filled in
 * for each identity, from what two of their patterns have in common, and from a little above and below each of them; first of
 * all from the rules that differ. Finding no change is therefore no proof that there is none.
 */
export function diffPolicies(
  before: CompiledPolicy,
  after: CompiledPolicy,
  { identities = [], delivery = true }: DiffOptions = {},
): PolicyDiff {
  const cases = new DiffCases(before, after, identities)
  const groups = { looser: new Group(), stricter: new Group(), changed: new Group() }
  const most = maxCompared(before.rules.length + after.rules.length)
  let compared = 0
  let isComplete = true
  for (const [i, asker] of cases.askers.entries()) {
    const { name: who, identity } = asker
    const [old, new_] = [createSession(before, identity), createSession(after, identity)]
    const asked = new Set<string>()
    const until = compared + Math.floor((most - compared) / (cases.askers.length - i))
    const ask = (requests: Iterable<AccessRequest>): boolean => {
      for (const request of requests) {
        const { action, topic, qos, retain } = request
        const key = `${action} ${qos} ${retain} ${topic}`
        if (asked.has(key)) continue
        if (compared >= until) return false
        asked.add(key)
        compared++
        const change = {
          who,
          identity,
          request,
          before: old.decide(request, delivery),
          after: new_.decide(request, delivery),
        }
        if (!isSame(change.before, change.after)) groups[kindOf(change)].add(change)
      }
      return true
    }
    isComplete = ask(cases.about(asker)) && isComplete
    ask(cases.beside(asker))
  }
  return { compared, identities: cases.askers.length, ...groups, isComplete: isComplete && cases.isComplete }
}
