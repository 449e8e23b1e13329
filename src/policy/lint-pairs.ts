import { spansLevels } from './compiled-rule.ts'
import { Coverage, type Decider } from './lint-coverage.ts'
import { IdentityLevels } from './lint-identity-levels.ts'
import { LintBudget, patternText } from './lint-tree.ts'
import { sharedOut } from './lint-union.ts'
import { topicPath, type Warnings } from './lint-warnings.ts'
import { quote } from './problems.ts'
import type { FilterMatcher, Policy, Rule } from './rule.ts'

function nameOf({ rule, index }: Decider): string {
  return `rules[${index}] ${quote(rule.id)}`
}

/** Looks at rules beside each other. */
export class PairLinter {
  readonly #policy: Policy
  readonly #warnings: Warnings
  readonly #budget = new LintBudget()
  readonly #coverage: Coverage
  readonly #identityLevels: IdentityLevels
  readonly #toldFilters = new Set<string>()

  constructor(policy: Policy, warnings: Warnings) {
    this.#policy = policy
    this.#warnings = warnings
    this.#coverage = new Coverage(policy, this.#budget)
    this.#identityLevels = new IdentityLevels(policy, this.#budget)
  }

  /** Whether every rule was compared. */
  get isComplete(): boolean {
    return this.#budget.wasEnough
  }

  check(rule: Rule, i: number): void {
    if (this.#budget.isSpent) return
    this.#checkReach(rule, i)
    for (const [j, matcher] of rule.matchers.entries()) {
      if (rule.effect === 'deny' || matcher.kind !== 'filter') continue
      this.#checkIdentityLevels(rule, i, matcher, topicPath(rule, i, j))
      this.#checkUnion(rule, i, matcher, topicPath(rule, i, j))
    }
  }

  #checkIdentityLevels(rule: Rule, i: number, matcher: FilterMatcher, path: string): void {
    const kept = this.#identityLevels.openedBy(rule, matcher)
    if (!kept) return
    const message = `opens the level that ${nameOf(kept)} keeps for ${kept.level.text}; write that in place of the wildcard, or say in "when" who may`
    this.#warnings.add('identity-wildcard', i, path, message)
  }

  #checkUnion(rule: Rule, i: number, matcher: FilterMatcher, path: string): void {
    if (this.#policy.options.subscribe === 'filtered' || matcher.levels.some(spansLevels)) return
    const filter = sharedOut(rule, matcher, this.#coverage)
    const text = filter && patternText(filter)
    if (text === undefined || this.#toldFilters.has(text)) return
    this.#toldFilters.add(text)
    const message = `a SUBSCRIBE to ${quote(text)} is refused: rules allow all of it together, and none alone; write the topic ${quote(text)}`
    this.#warnings.add('union-only', i, path, message)
  }

  #checkReach(rule: Rule, i: number): void {
    const deciders = rule.actions.has('connect')
      ? [this.#coverage.deciderOfConnect(rule)]
      : rule.matchers.map((matcher) => this.#coverage.deciderOf(rule, matcher))
    const [first] = deciders
    if (first && deciders.every((one) => one !== undefined)) this.#tellOf(rule, i, first, `rules[${i}]`, 'the rule')
    else
      for (const [j, one] of deciders.entries())
        if (one) this.#tellOf(rule, i, one, topicPath(rule, i, j), 'this topic')
  }

  #tellOf({ priority }: Rule, i: number, decider: Decider, path: string, what: string): void {
    const isBeside = decider.rule.priority === priority
    const message = isBeside
      ? `${nameOf(decider)} refuses all that ${what} allows, and a deny wins within a tier; narrow the deny, or raise the priority above ${priority}`
      : `${nameOf(decider)} has a higher priority and decides all that ${what} could; remove it, or raise the priority above ${decider.rule.priority}`
    this.#warnings.add(isBeside ? 'denied-allow' : 'unreachable-rule', i, path, message)
  }
}
