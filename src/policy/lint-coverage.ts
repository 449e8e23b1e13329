import { spansLevels } from './compiled-rule.ts'
import type { RuleAction } from './document.ts'
import { ANY, type Levels, levelsOf, REST } from './levels.ts'
import { canonicalLevels, LevelNode, type LintBudget, levelKey } from './lint-tree.ts'
import { literalPrefix } from './regex/check-regex.ts'
import type { Matcher, PatternLevel, Policy, PolicyOptions, Rule } from './rule.ts'
import { isCapture, isTemplate } from './rule.ts'

/** A rule that decides whatever its pattern matches, for everybody whose `when` it is. */
export interface Decider {
  readonly rule: Rule
  readonly index: number
}

/** The rules of the highest priority for one action and one `when`. */
interface Tops {
  allow?: Decider
  /** Any deny; and those that refuse what they overlap, which only they keep from lower denies. */
  deny?: Decider
  refusal?: Decider
}

/** What is known of patterns that end here, and of those that end here in `#`: by action and `when`. */
interface Ends {
  end?: Map<number, Tops>
  rest?: Map<number, Tops>
}

const createEnds = (): Ends => ({})
const actionNames: readonly RuleAction[] = ['publish', 'subscribe', 'receive', 'connect', 'unsubscribe']
/** Number of the `when` that everybody meets. */
const EVERYBODY = 0

function keyOf(action: RuleAction, when: number): number {
  return when * actionNames.length + actionNames.indexOf(action)
}

function hasShareCondition({ shared, shareGroups }: Rule): boolean {
  return shared !== 'any' || shareGroups !== null
}

/** The actions that a rule has to do with: a delivery too, where that follows from `subscribe`. */
function actionsOf(rule: Rule, { receive }: PolicyOptions): readonly RuleAction[] {
  const actions = new Set(rule.actions)
  if (receive === 'derive' && actions.has('subscribe')) actions.add('receive')
  if (rule.effect === 'deny' && hasShareCondition(rule)) actions.delete('receive')
  return [...actions]
}

/** Whether a rule decides an action whatever the QoS, the flags and the group of a request are. */
function decides({ require, qos, retain, will, ...rule }: Rule, action: RuleAction): boolean {
  if (action === 'unsubscribe' || action === 'connect') return true
  if (require.length > 0) return false
  if (action === 'publish') return qos === null && (retain === 'any' || retain === 'strip') && will
  return action === 'receive' || (qos === null && rule.shared === 'any' && rule.shareGroups === null)
}

/** What a pattern is compared as: a filter that matches at least what it does, and whether that may begin with `$`. */
interface Reach {
  readonly levels: readonly PatternLevel[]
  readonly dollar: boolean
}

function spelledLevels(levels: readonly PatternLevel[], text: string): Levels | undefined {
  if (levels.some((level) => typeof level === 'object')) return undefined
  const spelled = levelsOf(text)
  const isFilter = spelled.every((level, i) =>
    level === REST ? i === spelled.length - 1 : level === ANY || !/[+#]/.test(level),
  )
  return isFilter ? spelled : undefined
}

/** The reach of a pattern; `undefined` where none is written down so easily. */
function reachOf(matcher: Matcher): Reach | undefined {
  if (matcher.kind === 'regex') {
    const prefix = literalPrefix(matcher.parts).split('/').slice(0, -1)
    return { levels: [...prefix, REST], dollar: matcher.dollar }
  }
  if (matcher.kind === 'filter') return { levels: canonicalLevels(matcher.levels), dollar: matcher.dollar }
  const spelled = spelledLevels(matcher.levels, matcher.text)
  return spelled && { levels: canonicalLevels(spelled), dollar: false }
}

/** Whether a name that the pattern matches may begin with `$`. */
function mayBeginWithDollar({ levels: [first], dollar }: Reach): boolean {
  if (typeof first === 'number' || first === undefined || isCapture(first)) return dollar
  if (typeof first === 'string') return first.startsWith('$')
  return dollar || (typeof first.parts[0] === 'string' && first.parts[0].startsWith('$'))
}

/** The rules of a document by their patterns, to find those that keep others from ever deciding. */
export class Coverage {
  readonly #options: PolicyOptions
  readonly #budget: LintBudget
  /** Filters; those that begin with a wildcard that stands for no `$` apart. */
  readonly #root = new LevelNode(createEnds())
  readonly #wild = new LevelNode(createEnds())
  readonly #connect = new Map<number, Tops>()
  readonly #numbers = new Map<string, number>()
  readonly #whens = new Map<Rule, number>()

  constructor({ options, rules }: Policy, budget: LintBudget) {
    this.#options = options
    this.#budget = budget
    for (const [index, rule] of rules.entries()) if (rule.enabled) this.#add({ rule, index })
  }

  #numberOf({ document, when }: Rule): number {
    if (when.length === 0) return EVERYBODY
    const text = JSON.stringify(document.when)
    const number = this.#numbers.get(text) ?? this.#numbers.size + 1
    this.#numbers.set(text, number)
    return number
  }

  #add(decider: Decider): void {
    const { rule } = decider
    const when = this.#numberOf(rule)
    this.#whens.set(rule, when)
    const keys = actionsOf(rule, this.#options).flatMap((action) => (decides(rule, action) ? keyOf(action, when) : []))
    if (rule.actions.has('connect')) this.#note(this.#connect, keys, decider)
    for (const matcher of rule.matchers) {
      if (matcher.kind !== 'filter' || matcher.levels.some(spansLevels)) continue
      if (rule.effect === 'allow' && matcher.levels.some(isCapture)) continue // wants a literal level
      const levels = canonicalLevels(matcher.levels)
      const [first] = levels
      const isWild = !matcher.dollar && (typeof first === 'number' || (first !== undefined && isCapture(first)))
      let node: LevelNode<Ends> | undefined = isWild ? this.#wild : this.#root
      for (const level of levels) if (level !== REST) node = node?.grow(levelKey(level), createEnds, this.#budget)
      if (!node) return
      const ends = levels.at(-1) === REST ? 'rest' : 'end'
      node.value[ends] ??= new Map()
      this.#note(node.value[ends], keys, decider)
    }
  }

  #note(ends: Map<number, Tops>, keys: readonly number[], decider: Decider): void {
    const { effect, priority, overlap } = decider.rule
    const higher = (known: Decider | undefined) => !known || priority > known.rule.priority
    for (const key of keys) {
      const tops = ends.get(key) ?? {}
      if (effect === 'allow') {
        if (higher(tops.allow)) tops.allow = decider
      } else {
        if (higher(tops.deny)) tops.deny = decider
        const isFirm = overlap === 'refuse' || this.#options.subscribe === 'filtered'
        if (isFirm && higher(tops.refusal)) tops.refusal = decider
      }
      ends.set(key, tops)
    }
  }

  /** The rule that keeps a connect rule from ever deciding. */
  deciderOfConnect(rule: Rule): Decider | undefined {
    return this.#pick(this.#connect, rule, 'connect', true)
  }

  /**
   * The rule that decides whatever one pattern of a rule could, for each of its actions: it has a higher priority, or is a
   * deny beside an allow. `undefined` unless that is certain.
   */
  deciderOf(rule: Rule, matcher: Matcher): Decider | undefined {
    const reach = reachOf(matcher)
    if (!reach || reach.levels.some(spansLevels)) return undefined
    let found: Decider | undefined
    for (const action of actionsOf(rule, this.#options)) {
      if (matcher.kind === 'eq' && (action === 'publish' || (action === 'receive' && rule.effect === 'deny'))) continue
      // No hole is ever carved into a regex: it refuses whatever an allow above it takes a part of.
      if (matcher.kind === 'regex' && action === 'subscribe' && rule.effect === 'deny') return undefined
      const decider = this.#find(reach, (tops, isSure) => this.#pick(tops, rule, action, isSure))
      if (!decider) return undefined
      found ??= decider
    }
    return found
  }

  #pick(tops: Map<number, Tops>, rule: Rule, action: RuleAction, isSure: boolean): Decider | undefined {
    const own = this.#whens.get(rule) ?? EVERYBODY
    const above = (one: Decider | undefined) => (one && one.rule.priority > rule.priority ? one : undefined)
    for (const when of own === EVERYBODY ? [own] : [EVERYBODY, own]) {
      const { allow, deny, refusal } = tops.get(keyOf(action, when)) ?? {}
      const isDenied = deny && deny.rule.priority >= rule.priority
      const found =
        rule.effect === 'deny'
          ? (above(refusal) ?? (isSure ? above(allow) : undefined))
          : isDenied
            ? deny
            : above(allow)
      if (found) return found
    }
    return undefined
  }

  /** Whether some allow takes a SUBSCRIBE to a filter, of everybody whom a rule is for. */
  grants(levels: readonly PatternLevel[], rule: Rule): boolean {
    const own = this.#whens.get(rule) ?? EVERYBODY
    const granted = (tops: Map<number, Tops>) =>
      tops.get(keyOf('subscribe', EVERYBODY))?.allow ?? tops.get(keyOf('subscribe', own))?.allow
    return this.#find({ levels: canonicalLevels(levels), dollar: false }, granted) !== undefined
  }

  /**
   * Visits the patterns that cover another, until one is picked. `isSure` is false where both have to have the same value of a
   * variable, which an allow without a value has not.
   */
  #find(reach: Reach, pick: (tops: Map<number, Tops>, isSure: boolean) => Decider | undefined): Decider | undefined {
    const visit = (node: LevelNode<Ends>, i: number, isSure: boolean): Decider | undefined => {
      if (!this.#budget.takeStep()) return undefined
      const { end, rest } = node.value
      const found = rest && pick(rest, isSure)
      if (found) return found
      const level = reach.levels[i]
      if (level === undefined) return end && pick(end, isSure)
      if (level === REST) return undefined
      const any = node.child('+')
      const below = any && visit(any, i + 1, isSure)
      if (below || level === ANY || isCapture(level)) return below
      const same = node.child(levelKey(level))
      return same && visit(same, i + 1, isSure && !isTemplate(level))
    }
    return visit(this.#root, 0, true) ?? (mayBeginWithDollar(reach) ? undefined : visit(this.#wild, 0, true))
  }
}
