import type { RuleAction } from './document.ts'
import { ANY, canonical, type Levels, overlaps, REST } from './levels.ts'
import { LevelNode, type LintBudget, levelKey } from './lint-tree.ts'
import type { FilterMatcher, PatternLevel, Policy, Rule, TemplateLevel } from './rule.ts'
import { isCapture, isTemplate } from './rule.ts'

/** A level that a rule keeps for one identity. */
export interface KeptLevel {
  readonly index: number
  readonly rule: Rule
  readonly level: TemplateLevel
  /** All of its pattern, variables as `+`. */
  readonly levels: Levels
}

type Direction = 'publish' | 'receive'

/** What is kept behind the levels that lead to a node. */
interface Kept {
  /** The next level, by the first few rules. */
  readonly next: Record<Direction, KeptLevel[]>
  /** Some level, however far below. */
  readonly below: Partial<Record<Direction, KeptLevel>>
}

const createKept = (): Kept => ({ next: { publish: [], receive: [] }, below: {} })
const MAX_KEPT = 32
/** Conditions that do not say who somebody is. */
const ABOUT_MANY: ReadonlySet<string> = new Set(['auth', 'tls', 'listener', 'protocol', 'ip'])

function wildLevels(levels: readonly PatternLevel[]): Levels {
  return canonical(levels.map((level) => (typeof level === 'object' ? ANY : level)))
}

function directionsOf(actions: ReadonlySet<RuleAction>): readonly Direction[] {
  const receives = actions.has('subscribe') || actions.has('receive')
  return [...(actions.has('publish') ? ['publish' as const] : []), ...(receives ? ['receive' as const] : [])]
}

/** Whether a rule says for whom it is, so that a wildcard in it is on purpose. */
function saysWho({ document, require }: Rule): boolean {
  const { type, ...when } = document.when ?? {}
  const types: readonly unknown[] = Array.isArray(type) ? type : [type]
  const isBackEnd = types.every((one) => one === 'service' || one === 'application')
  return require.length > 0 || isBackEnd || Object.keys(when).some((key) => !ABOUT_MANY.has(key))
}

/**
 * The levels that allow rules keep for one identity, as in `sensors/${clientId}/#`, by the levels before them. Those are
 * compared as they are written: `+/x` is not seen to be a part of `a/x`.
 */
export class IdentityLevels {
  readonly #root = new LevelNode(createKept())
  readonly #budget: LintBudget

  constructor({ rules }: Policy, budget: LintBudget) {
    this.#budget = budget
    for (const [index, rule] of rules.entries()) {
      if (!rule.enabled || rule.effect === 'deny') continue
      for (const matcher of rule.matchers) if (matcher.kind === 'filter') this.#add(rule, index, matcher)
    }
  }

  #add(rule: Rule, index: number, { levels }: FilterMatcher): void {
    const at = levels.findIndex(isTemplate)
    const level = levels[at]
    if (level === undefined || !isTemplate(level)) return
    const kept = { index, rule, level, levels: wildLevels(levels) }
    const directions = directionsOf(rule.actions)
    let node = this.#root
    for (const before of levels.slice(0, at)) {
      for (const one of directions) node.value.below[one] ??= kept
      const next = node.grow(levelKey(before), createKept, this.#budget)
      if (!next) return
      node = next
    }
    for (const one of directions) {
      node.value.below[one] ??= kept
      if (node.value.next[one].length < MAX_KEPT) node.value.next[one].push(kept)
    }
  }

  /** The level of one identity that a pattern of an allow rule opens to all, in the same direction. */
  openedBy(rule: Rule, { levels }: FilterMatcher): KeptLevel | undefined {
    if (saysWho(rule)) return undefined
    const directions = directionsOf(rule.actions)
    let node: LevelNode<Kept> | undefined = this.#root
    for (const level of levels) {
      if (!node || !this.#budget.takeStep()) return undefined
      const { next, below }: Kept = node.value
      let opened: readonly KeptLevel[] = []
      if (level === REST) opened = directions.flatMap((one) => below[one] ?? [])
      else if (level === ANY || isCapture(level)) opened = directions.flatMap((one) => next[one])
      const found = opened.find((kept) => overlaps(kept.levels, wildLevels(levels), true))
      if (found) return found
      node = node.child(levelKey(level))
    }
    return undefined
  }
}
