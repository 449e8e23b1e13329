import {
  type CapturePlace,
  type CompiledRule,
  compareByCodePoint,
  type IndexedTemplate,
  keyOf,
  saysOnlyKey,
  spansLevels,
  spelledFilter,
} from './compiled-rule.ts'
import type { RuleAction } from './document.ts'
import { fillLevels } from './fill.ts'
import { inSlices } from './in-slices.ts'
import { LevelTable } from './level-table.ts'
import { ANY, canonical, type Levels, REST } from './levels.ts'
import {
  type Ask,
  addToBucket,
  asks,
  type Bucket,
  createBucket,
  type Entry,
  PatternTrie,
  ROOT,
  WILD,
} from './pattern-trie.ts'
import { literalPrefix } from './regex/check-regex.ts'
import { compileTopicRegex, type TopicRegex } from './regex/compile-regex.ts'
import type { Matcher, PatternLevel, Policy, RegexMatcher, Rule, WhenMember } from './rule.ts'
import { isCapture, isTemplate } from './rule.ts'
import { sortInSteps } from './sort-in-steps.ts'

/** The patterns of one effect. */
export interface EffectIndex {
  /** Filters, and regexes that are compared as languages. */
  readonly filters: PatternTrie
  /** What is compared with the text of a filter: `eq`, and regexes with `subscribe: text`. */
  readonly texts: PatternTrie
}

/** A policy made ready for decisions whose cost follows the request and not the number of rules. */
export interface CompiledPolicy {
  readonly policy: Policy
  /** Every enabled rule, in order. */
  readonly rules: readonly CompiledRule[]
  readonly rulesById: ReadonlyMap<string, CompiledRule>
  readonly levels: LevelTable
  readonly allow: EffectIndex
  readonly deny: EffectIndex
  readonly connect: Bucket
  /** By the number of `CompiledRule.when`. */
  readonly whens: readonly (readonly WhenMember[])[]
  /** The highest priority of an allow that can carve a hole into a lower deny; `-Infinity` without one. */
  readonly topCarver: number
}

/** Numbers what occurs often, so that a session remembers each once. */
function createNumbering() {
  const whens: (readonly WhenMember[])[] = []
  const numbersOfWhens = new Map<string, number>()
  const templates = new Map<string, IndexedTemplate>()
  return {
    whens,
    whenOf({ when, document }: Rule): number {
      if (when.length === 0) return -1
      const text = JSON.stringify(document.when)
      const known = numbersOfWhens.get(text)
      if (known !== undefined) return known
      numbersOfWhens.set(text, whens.length)
      return whens.push(when) - 1
    },
    templateOf(template: IndexedTemplate['template'], strict: boolean, startsPattern: boolean): IndexedTemplate {
      const name = `${strict} ${startsPattern} ${template.text}`
      const known = templates.get(name)
      if (known) return known
      const made = { number: templates.size, template, strict, startsPattern }
      templates.set(name, made)
      return made
    },
  }
}

type Numbering = ReturnType<typeof createNumbering>

function compileRule(rule: Rule, order: number, numbering: Numbering): CompiledRule {
  const { when } = rule.document
  const key = when ? keyOf(when) : null
  return {
    rule,
    id: rule.id,
    isDeny: rule.effect === 'deny',
    priority: rule.priority,
    order,
    when: numbering.whenOf(rule),
    key,
    isKeyEnough: key !== null && when !== undefined && saysOnlyKey(when, key),
  }
}

/** Brings a pattern of texts and wildcards into the one form that is compared. */
function canonicalPattern(levels: readonly PatternLevel[]): readonly PatternLevel[] {
  return levels.some((level) => typeof level === 'object') ? levels : canonical(levels as Levels)
}

const NO_CAPTURES: readonly CapturePlace[] = []
const NO_TEMPLATES: readonly IndexedTemplate[] = []

function capturesIn(levels: readonly PatternLevel[]): readonly CapturePlace[] {
  if (!levels.some(isCapture)) return NO_CAPTURES
  return levels.flatMap((level, i) => (isCapture(level) ? [{ name: level.capture, level: i }] : []))
}

/** Compiles a regex now, so that no decision has to. */
function preparedRegex({ parts }: RegexMatcher): TopicRegex {
  const regex = compileTopicRegex(parts, [])
  regex.prepare()
  return regex
}

/** Fills the indexes of a policy, rule by rule in their order. */
class IndexBuilder {
  readonly levels = new LevelTable()
  readonly allow = { filters: new PatternTrie(), texts: new PatternTrie() }
  readonly deny = { filters: new PatternTrie(), texts: new PatternTrie() }
  readonly connect = createBucket()
  readonly numbering = createNumbering()
  topCarver = Number.NEGATIVE_INFINITY
  readonly #options: Policy['options']

  constructor({ options }: Policy) {
    this.#options = options
  }

  #entry(rule: CompiledRule, matcher: Matcher, levels: readonly PatternLevel[], dollar: boolean): Entry {
    const { require, qos, maxQos, retain, will, shared, shareGroups } = rule.rule
    const unconditional =
      (rule.when === -1 || rule.isKeyEnough) && require.length === 0 && qos === null && maxQos === null
    const templates = levels.some(isTemplate)
      ? levels.flatMap((level, i) =>
          isTemplate(level) ? [this.numbering.templateOf(level, rule.isDeny, i === 0)] : [],
        )
      : NO_TEMPLATES
    const captures = capturesIn(levels)
    return {
      rule,
      order: rule.order,
      priority: rule.priority,
      isDeny: rule.isDeny,
      matcher,
      levels,
      dollar,
      templates,
      captures,
      filled: templates.length > 0 ? null : fillLevels(levels, rule.isDeny, () => undefined),
      regexes: matcher.kind === 'regex' && matcher.variables.length === 0 ? [preparedRegex(matcher)] : null,
      isPlainForNames: unconditional && retain === 'any' && will,
      isPlainForFilters: unconditional && shared === 'any' && shareGroups === null,
    }
  }

  /** Whether an entry decides whatever reaches it, so that none behind it in its bucket ever does. */
  #closes = (ask: Ask, { isPlainForNames, isPlainForFilters, rule }: Entry): boolean => {
    if (ask === asks.publish || ask === asks.receive) return isPlainForNames
    const filters = rule.isDeny && rule.rule.overlap === 'filter' && this.#options.subscribe === 'strict'
    return isPlainForFilters && !filters
  }

  #place(trie: PatternTrie, entry: Entry, ...wanted: readonly Ask[]): void {
    const { levels, dollar, rule } = entry
    const [first] = levels
    const startsWild = first === ANY || first === REST || (first !== undefined && isCapture(first))
    let node = startsWild && !dollar ? WILD : ROOT
    for (const [i, level] of levels.entries()) {
      if (level === REST) {
        this.#add(trie, node, true, entry, wanted)
        return
      }
      if (typeof level === 'string') node = trie.addChild(node, this.levels.intern(level))
      else if (level === ANY) node = trie.addAny(node)
      else if (isCapture(level)) node = trie.addCapture(node)
      else if (spansLevels(level)) {
        for (const ask of wanted) trie.addTried(node, ask, entry)
        return
      } else node = trie.addTemplate(node, this.numbering.templateOf(level, rule.isDeny, i === 0), i > 0 || dollar)
    }
    this.#add(trie, node, false, entry, wanted)
  }

  #add(trie: PatternTrie, node: number, isRest: boolean, entry: Entry, wanted: readonly Ask[]): void {
    for (const ask of wanted) addToBucket(trie.bucketAt(node, isRest, ask), entry, (one) => this.#closes(ask, one))
  }

  /** A regex stands at the whole levels that its literal prefix has. */
  #placeRegex(trie: PatternTrie, rule: CompiledRule, matcher: RegexMatcher, ...wanted: readonly Ask[]): void {
    const levels = literalPrefix(matcher.parts).split('/').slice(0, -1)
    const node = levels.reduce((at, level) => trie.addChild(at, this.levels.intern(level)), ROOT)
    const entry = this.#entry(rule, matcher, [], matcher.dollar)
    for (const ask of wanted) trie.addTried(node, ask, entry)
  }

  #addMatcher(rule: CompiledRule, matcher: Matcher): void {
    const { filters, texts } = rule.isDeny ? this.deny : this.allow
    const { actions, shared, shareGroups, require, priority } = rule.rule
    const has = (action: RuleAction) => actions.has(action)
    // A delivery does not say under which group it comes: an allow with a share condition takes part, a deny does not.
    const isShareless = !rule.isDeny || (shared === 'any' && shareGroups === null)
    const delivers = isShareless && (has('receive') || (this.#options.receive === 'derive' && has('subscribe')))
    const nameAsks = [...(has('publish') ? [asks.publish] : []), ...(delivers ? [asks.receive] : [])]
    const subscribes = has('subscribe') ? [asks.subscribe] : []
    const unsubscribes = has('unsubscribe') ? [asks.unsubscribe] : []
    if (matcher.kind === 'regex') {
      const isText = matcher.subscribe === 'text'
      this.#placeRegex(filters, rule, matcher, ...nameAsks, ...(isText ? [] : subscribes))
      this.#placeRegex(texts, rule, matcher, ...(isText ? subscribes : []), ...unsubscribes)
    } else if (matcher.kind === 'eq') {
      const spelled = delivers && !rule.isDeny ? spelledFilter(matcher.levels) : undefined
      if (spelled) this.#place(filters, this.#entry(rule, matcher, canonicalPattern(spelled), false), asks.receive)
      this.#place(texts, this.#entry(rule, matcher, matcher.levels, true), ...subscribes, ...unsubscribes)
    } else {
      const levels = canonicalPattern(matcher.levels)
      const hasCaptures = levels.some(isCapture)
      // Unsubscribing, captures are ordinary wildcards.
      const alike = hasCaptures ? [] : unsubscribes
      this.#place(filters, this.#entry(rule, matcher, levels, matcher.dollar), ...nameAsks, ...subscribes, ...alike)
      if (hasCaptures && has('unsubscribe')) {
        const wild = canonicalPattern(levels.map((level) => (isCapture(level) ? ANY : level)))
        this.#place(filters, this.#entry(rule, matcher, wild, matcher.dollar), asks.unsubscribe)
      }
      const carves = !rule.isDeny && has('subscribe') && require.length === 0 && !hasCaptures
      if (carves) this.topCarver = Math.max(this.topCarver, priority)
    }
  }

  *add(rule: CompiledRule): Generator<void> {
    if (rule.rule.actions.has('connect')) {
      const unconditional = rule.when === -1 || rule.isKeyEnough
      const entry = { ...this.#entry(rule, CONNECT, [], false), isPlainForNames: unconditional }
      addToBucket(this.connect, entry, (one) => one.isPlainForNames)
    }
    for (const matcher of rule.rule.matchers) {
      this.#addMatcher(rule, matcher)
      yield
    }
  }
}

/** A CONNECT has no topic to match. */
const CONNECT: Matcher = { kind: 'filter', text: '', levels: [], dollar: false }

function compareRules(a: Rule, b: Rule): number {
  const byEffect = Number(a.effect === 'allow') - Number(b.effect === 'allow')
  return b.priority - a.priority || byEffect || compareByCodePoint(a.id, b.id)
}

function* compileSteps(policy: Policy): Generator<void, CompiledPolicy> {
  const builder = new IndexBuilder(policy)
  const enabled = policy.rules.filter((rule) => rule.enabled)
  yield
  const sorted = yield* sortInSteps(enabled, compareRules)
  const rules: CompiledRule[] = []
  const rulesById = new Map<string, CompiledRule>()
  for (const [order, one] of sorted.entries()) {
    const rule = compileRule(one, order, builder.numbering)
    rules.push(rule)
    rulesById.set(rule.id, rule)
    yield* builder.add(rule)
  }
  const { levels, allow, deny, connect, topCarver, numbering } = builder
  for (const { filters, texts } of [allow, deny]) for (const trie of [filters, texts]) trie.finish()
  return {
    policy,
    rules,
    rulesById,
    levels,
    allow,
    deny,
    connect,
    whens: numbering.whens,
    topCarver,
  }
}

/** Makes a policy ready for decisions, in one go. */
export function compilePolicy(policy: Policy): CompiledPolicy {
  const steps = compileSteps(policy)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** The same in slices of a few milliseconds, so that a large policy holds nobody up. */
export function compilePolicyInSlices(policy: Policy): Promise<CompiledPolicy> {
  return inSlices(compileSteps(policy))
}
