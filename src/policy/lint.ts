import { IdentityLinter } from './lint-identity.ts'
import { PairLinter } from './lint-pairs.ts'
import { checkPattern } from './lint-patterns.ts'
import { type LintWarning, topicPath, Warnings } from './lint-warnings.ts'
import type { Policy } from './rule.ts'

export type { LintCode, LintWarning } from './lint-warnings.ts'

export interface LintOptions {
  /**
   * Members of the identity that authentication always brings, as in `claims.email`; a root such as `claims` stands for all
   * below it. What every surface knows (`clientId`, `type`, `ip` …) need not be named. Absent: not known.
   */
  readonly provides?: readonly string[]
  /** Whether the surface checks each delivery; absent: not known. */
  readonly delivery?: boolean
}

function checkSurface({ options, rules }: Policy, warnings: Warnings): void {
  const instead = 'it refuses here what overlaps a deny; write allow rules for the parts that may be subscribed to'
  if (options.subscribe === 'filtered') {
    const message = `this surface checks no deliveries, so that nothing is granted as filtered: ${instead}`
    warnings.add('unfiltered-surface', -1, 'options.subscribe', message)
  }
  for (const [i, { enabled, overlap }] of rules.entries()) {
    if (!enabled || overlap !== 'filter') continue
    const message = `this surface checks no deliveries, so that overlap: filter does not help: ${instead}`
    warnings.add('unfiltered-surface', i, `rules[${i}].overlap`, message)
  }
}

/**
 * Looks for what is allowed in a policy, but rarely meant. Time grows with the size of the document: rules are compared by
 * their levels and not one with each other, up to a bound, beyond which `lint-incomplete` says so. That a rule never decides is
 * told only where it is certain: filters under the same `when`, or beside rules without one.
 */
export function lintPolicy(policy: Policy, { provides, delivery }: LintOptions = {}): LintWarning[] {
  const warnings = new Warnings()
  const identity = new IdentityLinter(policy, provides, warnings)
  const pairs = new PairLinter(policy, warnings)
  if (delivery === false) checkSurface(policy, warnings)
  for (const [i, rule] of policy.rules.entries()) {
    if (!rule.enabled) continue
    if (rule.effect === 'allow' && !rule.actions.has('connect') && rule.document.actions === undefined) {
      const message = 'allows publish as well as subscribe and receive; write "actions", and name those that are meant'
      warnings.add('implicit-actions', i, `rules[${i}]`, message)
    }
    for (const [j, matcher] of rule.matchers.entries()) checkPattern(rule, i, matcher, topicPath(rule, i, j), warnings)
    identity.check(rule, i, (j) => topicPath(rule, i, j))
    pairs.check(rule, i)
  }
  if (!pairs.isComplete) {
    const message =
      'too many patterns to compare all of them with each other, so that some unreachable rules may not be told; split the document'
    warnings.add('lint-incomplete', -1, 'rules', message)
  }
  return warnings.all()
}
