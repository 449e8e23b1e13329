import type { CompiledPolicy } from '../policy/compile-policy.ts'
import type { CompiledRule } from '../policy/compiled-rule.ts'
import type { Identity } from '../policy/identity.ts'
import type { PolicyOptions, Rule } from '../policy/rule.ts'
import { Session } from '../policy/session.ts'
import { allowPatterns, blockPatterns, type Direction, defaultPattern, type Pattern } from './java-patterns.ts'
import { atMostBytes, atMostLevels, without } from './java-regex.ts'
import { rulesFor } from './rules-for.ts'

/** Something that a policy allows and the patterns do not. */
export interface LeftOut {
  /** Id of the rule; `*` for all that had no room. */
  readonly rule: string
  readonly why: string
}

/** What an identity may do, for a broker that is told once, when the client connects, and never asks again. */
export interface JavaRules {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  readonly leftOut: readonly LeftOut[]
}

/** Patterns of one direction, and characters of all of them: TBMQ reads answers of 256 KiB and takes what it cannot read for none. */
const MAX_PATTERNS = 1_000
const MAX_CHARACTERS = 100_000
/** Patterns of denies, and comparisons of an allow with one, so that a login under a policy with thousands of both stays short. */
const MAX_BLOCKERS = 1_000
const MAX_COMPARISONS = 100_000
const MAX_LEFT_OUT = 100
/** Stands for every rule that had no room. */
const OTHERS: LeftOut = { rule: '*', why: 'size' }

/** What takes names or filters away from allows: a deny, or an allow that would let a message through only changed. */
interface Blocker {
  readonly policy: CompiledPolicy
  readonly priority: number
  readonly isDeny: boolean
  readonly pattern: Pattern
}

const takesAnyQos = ({ qos }: Rule) => qos === null || [0, 1, 2].every((one) => qos.some((member) => member === one))

/** Whether what an allow lets through may differ from what was asked: the broker cannot be told to change it. */
function isLimited({ rule }: CompiledRule, direction: Direction): boolean {
  if (rule.maxQos !== null && rule.maxQos < 2) return true
  return direction === 'publish' ? rule.retain === 'strip' : !takesAnyQos(rule)
}

/** Why an allow cannot be told to a broker that knows the text of topics only; `undefined` when it can. */
function conditionOf(compiled: CompiledRule, direction: Direction): string | undefined {
  const { rule } = compiled
  if (rule.require.length > 0) return 'require'
  if (!takesAnyQos(rule)) return 'qos'
  if (isLimited(compiled, direction)) return rule.retain === 'strip' ? 'retain' : 'maxQos'
  if (direction === 'subscribe') return rule.shared !== 'any' || rule.shareGroups !== null ? 'shared' : undefined
  if (rule.retain !== 'any') return 'retain'
  return rule.will ? undefined : 'will'
}

interface Applicable {
  readonly policy: CompiledPolicy
  readonly rules: readonly CompiledRule[]
}

class Writer {
  readonly #identity: Identity
  readonly #policies: readonly CompiledPolicy[]
  readonly #leftOut = new Map<string, LeftOut>()
  #comparisons = MAX_COMPARISONS
  #characters = MAX_CHARACTERS

  constructor(identity: Identity, policies: readonly CompiledPolicy[]) {
    this.#identity = identity
    this.#policies = policies
  }

  get leftOut(): readonly LeftOut[] {
    return [...this.#leftOut.values()]
  }

  #leaveOut(one: LeftOut): void {
    if (this.#leftOut.size < MAX_LEFT_OUT || one === OTHERS) this.#leftOut.set(`${one.rule} ${one.why}`, one)
  }

  #least(member: 'maxTopicBytes' | 'maxTopicLevels'): number {
    return Math.min(...this.#policies.map(({ policy }) => policy.options[member]))
  }

  get #controls(): boolean {
    const allows = ({ rejectControlChars }: PolicyOptions) => !rejectControlChars
    return this.#policies.every(({ policy }) => allows(policy.options))
  }

  /** Limits of syntax that a pattern does not keep by itself. */
  #guards({ depth }: Pattern): string {
    const [bytes, count] = [this.#least('maxTopicBytes'), this.#least('maxTopicLevels')]
    return (bytes < 65_535 ? atMostBytes(bytes) : '') + (depth > count ? atMostLevels(count) : '')
  }

  #applicable(policy: CompiledPolicy, direction: Direction): readonly CompiledRule[] {
    const session = new Session(policy, this.#identity)
    return rulesFor(policy, direction, this.#identity).filter((rule) => session.holds(rule))
  }

  /** `undefined` where there are too many of them to be told. */
  #blockersOf(applicable: readonly Applicable[], direction: Direction): readonly Blocker[] | undefined {
    const blockers: Blocker[] = []
    for (const { policy, rules } of applicable) {
      for (const one of rules) {
        const { isDeny, priority, rule } = one
        if (!isDeny && !isLimited(one, direction)) continue
        for (const matcher of rule.matchers) {
          for (const pattern of blockPatterns(matcher, direction, isDeny, this.#identity))
            blockers.push({ policy, priority, isDeny, pattern })
          if (blockers.length > MAX_BLOCKERS) return undefined
        }
      }
    }
    return blockers
  }

  /** What a rule allows, or that it cannot be said. */
  #patternsOf(compiled: CompiledRule, direction: Direction): readonly Pattern[] {
    const condition = conditionOf(compiled, direction)
    if (condition !== undefined) {
      this.#leaveOut({ rule: compiled.id, why: condition })
      return []
    }
    const patterns: Pattern[] = []
    for (const matcher of compiled.rule.matchers) {
      const found = allowPatterns(matcher, direction, this.#identity, { controls: this.#controls })
      if (found.lacks !== undefined) this.#leaveOut({ rule: compiled.id, why: found.lacks })
      patterns.push(...found.patterns)
      if (patterns.length > MAX_PATTERNS) break // the next one would have no room either
    }
    return patterns
  }

  write(direction: Direction): readonly string[] {
    const applicable = this.#policies.map((policy) => ({ policy, rules: this.#applicable(policy, direction) }))
    const blockers = this.#blockersOf(applicable, direction)
    const texts: string[] = []
    for (const { policy, rules } of applicable) {
      const allows: { priority: number; patterns: () => readonly Pattern[] }[] = rules
        .filter(({ isDeny }) => !isDeny)
        .map((rule) => ({ priority: rule.priority, patterns: () => this.#patternsOf(rule, direction) }))
      // What rules of a session allow by default is silence, see `decideBoth`.
      if (policy === this.#policies[0] && policy.policy.defaults[direction] === 'allow') {
        const pattern = defaultPattern(direction, { controls: this.#controls })
        allows.push({ priority: Number.NEGATIVE_INFINITY, patterns: () => [pattern] })
      }
      for (const { priority, patterns } of allows) {
        const isAdded = blockers && patterns().every((one) => this.#add(texts, one, blockers, policy, priority))
        if (isAdded) continue
        this.#leaveOut(OTHERS)
        return texts
      }
    }
    return texts
  }

  /** @returns whether there was room */
  #add(
    texts: string[],
    pattern: Pattern,
    blockers: readonly Blocker[],
    policy: CompiledPolicy,
    priority: number,
  ): boolean {
    this.#comparisons -= blockers.length
    if (this.#comparisons < 0 || texts.length >= MAX_PATTERNS) return false
    const refused = blockers.filter((one) => {
      // The rules of the other document refuse whatever their priority: the two are not ranked among each other.
      const counts = one.policy !== policy || (one.isDeny ? one.priority >= priority : one.priority > priority)
      return counts && mayMeet(one.pattern, pattern)
    })
    const refusedTexts = [...new Set(refused.map((one) => one.pattern.text))]
    const text = this.#guards(pattern) + without(pattern.text, refusedTexts)
    if (text.length > this.#characters) return false
    this.#characters -= text.length
    texts.push(text)
    return true
  }
}

/** Whether two patterns may have something in common; `$` is left to the patterns themselves. */
function mayMeet({ levels: a }: Pattern, { levels: b }: Pattern): boolean {
  if (a === null || b === null) return true
  for (let i = 0; i < a.length || i < b.length; i++) {
    const [x, y] = [a[i], b[i]]
    if (x === 2 || y === 2) return true
    if (x === undefined || y === undefined) return false
    if (typeof x === 'string' && typeof y === 'string' && x !== y) return false
  }
  return true
}

/**
 * Writes what a stored policy and the rules of a session (`own`) together allow an identity as lists of Java regular expressions, to be matched against whole topic names
 * (`publish`) and whole filters without share prefix (`subscribe`). The lists never allow what the policies refuse; what cannot be
 * said so is left out and named. Cost follows the number of rules.
 *
 * @see design/policy.md sections 5 and 6
 */
export function javaRules(identity: Identity, stored: CompiledPolicy, own?: CompiledPolicy): JavaRules {
  const writer = new Writer(identity, own ? [stored, own] : [stored])
  const publish = writer.write('publish')
  const subscribe = writer.write('subscribe')
  return { publish, subscribe, leftOut: writer.leftOut }
}
