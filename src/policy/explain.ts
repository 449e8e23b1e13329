import type { AccessRequest } from './access.ts'
import type { CompiledPolicy } from './compile-policy.ts'
import { type CompiledRule, compareByCodePoint } from './compiled-rule.ts'
import type { Effect, Qos, RuleAction } from './document.ts'
import { explainMatcher, type MatcherStep } from './explain-matcher.ts'
import type { Identity } from './identity.ts'
import { type Effort, fullEffort } from './regex/effort.ts'
import { Session } from './session.ts'
import { grantedQos, Subscription, shareConditionsHold } from './subscription.ts'
import { parseSharedFilter, topicNameProblem } from './topic-syntax.ts'

/** What became of one rule. */
export interface TraceStep {
  readonly rule: string
  readonly effect: Effect
  readonly priority: number
  /** Whether the rule is about this request: an allow that covers it, or a deny that meets it. */
  readonly applies: boolean
  /**
   * `matched`; or why it was passed over: `disabled`, `action`, `when:<key>`, `share`, `qos`, `retain`, `will`,
   * `unresolved:<variable>`, `require`, `topic`, or `not-looked-at` where the policy is too large for a trace.
   */
  readonly why: string
  /** The pattern that matched, or the first that did not, variables filled in; `null` where none was looked at. */
  readonly pattern: string | null
  /** A name that shows it: one that an allow does not cover, or one that a deny has in common with the filter. */
  readonly example: string | null
}

/** Patterns that one trace looks at: those of the first rules, by priority. */
const MAX_PATTERNS = 20_000
/** Rules that a trace tells of at most; those that apply come before those that were passed over. */
const MAX_STEPS = 1_000

function actionsOf(request: AccessRequest, { policy }: CompiledPolicy): readonly RuleAction[] {
  if (request.action === 'will') return ['publish']
  if (request.action !== 'receive') return [request.action]
  return policy.options.receive === 'derive' ? ['receive', 'subscribe'] : ['receive']
}

interface Asked {
  readonly session: Session
  readonly request: AccessRequest
  readonly actions: readonly RuleAction[]
  /** For SUBSCRIBE and UNSUBSCRIBE. */
  readonly subscription: Subscription | null
  readonly effort: Effort
  /** Patterns that are still looked at. */
  patterns: number
}

/** The condition beside the topic that a rule does not meet. */
function unmetCondition(compiled: CompiledRule, asked: Asked): string | undefined {
  const { rule, isDeny } = compiled
  const { session, request, actions, subscription } = asked
  const { action, qos = 0, retain = false } = request
  if (!actions.some((one) => rule.actions.has(one))) return 'action'
  const failing = rule.when.find((member) => !member.holds(session.identity))
  if (failing) return `when:${failing.key}`
  if (action === 'subscribe' && subscription) {
    if (!shareConditionsHold(compiled, subscription)) return 'share'
    if (!isDeny && grantedQos(compiled, qos) === undefined) return 'qos'
  }
  if (action === 'receive' && isDeny && (rule.shared !== 'any' || rule.shareGroups !== null)) return 'share'
  if (action !== 'publish' && action !== 'will') return undefined
  if (rule.qos !== null && !rule.qos.includes(qos as Qos)) return 'qos'
  if (rule.retain === 'forbid' ? retain : rule.retain === 'require' && !retain) return 'retain'
  return action === 'will' && !rule.will ? 'will' : undefined
}

function explainRule(compiled: CompiledRule, asked: Asked): TraceStep {
  const { rule } = compiled
  const about = { rule: rule.id, effect: rule.effect, priority: rule.priority }
  const unmet = unmetCondition(compiled, asked)
  if (unmet !== undefined) return { ...about, applies: false, why: unmet, pattern: null, example: null }
  if (asked.request.action === 'connect')
    return { ...about, applies: true, why: 'matched', pattern: null, example: null }
  let best: MatcherStep | undefined
  for (const matcher of rule.matchers) {
    if (asked.patterns-- <= 0) break
    const step = explainMatcher(matcher, compiled, asked.request, asked.session, asked.subscription, asked.effort)
    if (step.applies || !best) best = step
    if (step.applies) break
  }
  return best
    ? { ...about, ...best }
    : { ...about, applies: false, why: asked.patterns < 0 ? 'not-looked-at' : 'topic', pattern: null, example: null }
}

function askedOf(
  compiled: CompiledPolicy,
  identity: Identity,
  request: AccessRequest,
  delivery: boolean,
): Asked | undefined {
  const session = new Session(compiled, identity)
  const actions = actionsOf(request, compiled)
  const { options } = compiled.policy
  const bounds = { effort: fullEffort(), patterns: MAX_PATTERNS }
  if (request.action === 'connect') return { session, request, actions, subscription: null, ...bounds }
  if (request.action !== 'subscribe' && request.action !== 'unsubscribe') {
    const problem = topicNameProblem(request.topic, options, request.action === 'receive')
    return problem === undefined ? { session, request, actions, subscription: null, ...bounds } : undefined
  }
  const shared = parseSharedFilter(request.topic, options)
  if (typeof shared === 'string') return undefined
  const subscription = new Subscription(session, shared, request.qos ?? 0, delivery)
  return { session, request, actions, subscription, ...bounds }
}

function disabledSteps({ policy }: CompiledPolicy): TraceStep[] {
  return policy.rules
    .filter(({ enabled }) => !enabled)
    .map(({ id, effect, priority }) => {
      return { rule: id, effect, priority, applies: false, why: 'disabled', pattern: null, example: null }
    })
}

/**
 * Says of every rule what became of it: the trace that a simulator and a dry run show. It looks at rules one by one, so it is
 * for people and not for the hot path. Nothing for a request that is malformed: no rule is consulted then. At most 1,000
 * steps, those that apply first, each part by priority, then id.
 */
export function explain(
  compiled: CompiledPolicy,
  identity: Identity,
  request: AccessRequest,
  delivery = true,
): readonly TraceStep[] {
  const asked = askedOf(compiled, identity, request, delivery)
  if (!asked) return []
  const steps = [...compiled.rules.map((rule) => explainRule(rule, asked)), ...disabledSteps(compiled)]
  return steps
    .sort(
      (a, b) => Number(b.applies) - Number(a.applies) || b.priority - a.priority || compareByCodePoint(a.rule, b.rule),
    )
    .slice(0, MAX_STEPS)
}
