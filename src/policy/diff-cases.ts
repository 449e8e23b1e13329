import type { AccessRequest } from './access.ts'
import type { CompiledPolicy } from './compile-policy.ts'
import type { FilledPattern } from './compiled-rule.ts'
import { commonIdentity, identitiesFor } from './diff-identities.ts'
import { commonTopics, filtersOf, type Pattern, type Topics, topicsOf } from './diff-topics.ts'
import type { Qos } from './document.ts'
import type { Identity } from './identity.ts'
import { quote } from './problems.ts'
import type { Policy, Rule } from './rule.ts'
import { isTemplate } from './rule.ts'

export interface NamedIdentity {
  readonly name: string
  readonly identity: Identity
}

/** An identity, with the rule that it was made for. */
export interface Asker extends NamedIdentity {
  readonly madeFor: Rule | null
  /** What tests of the policies ask for it. */
  readonly asks: AccessRequest[]
}

/** Identities that are asked about: those that are given, those of tests, and those that are made
 * for rules that differ, or do not. */
const MAX_GIVEN = 1_000
const MAX_FROM_TESTS = 200
const MAX_FOR_CHANGED = 200
const MAX_FOR_SAME = 100
/** Pairs of patterns that are intersected, for all identities together. */
const MAX_PAIRS = 3_000_000
const MAX_GROUPS = 5

/** Rules that differ come first; a rule that stands in both as it is comes once. */
function sortRules(before: Policy, after: Policy): { changed: Rule[]; same: Rule[] } {
  const texts = new Map(before.rules.map((rule) => [rule.id, JSON.stringify(rule.document)]))
  const same = after.rules.filter(({ id, document }) => texts.get(id) === JSON.stringify(document))
  const sameIds = new Set(same.map(({ id }) => id))
  const changed = [...before.rules, ...after.rules].filter(({ id }) => !sameIds.has(id))
  return { changed: changed.filter(({ enabled }) => enabled), same: same.filter(({ enabled }) => enabled) }
}

function patternsOf(rules: readonly Rule[]): Pattern[] {
  return rules.flatMap((rule) => rule.matchers.map((matcher) => ({ rule, matcher })))
}

function isStatic({ matcher }: Pattern): boolean {
  return matcher.kind === 'regex' || !matcher.levels.some(isTemplate)
}

/** What two policies are asked, made from what is written in them. */
export class DiffCases {
  readonly askers: readonly Asker[]
  readonly #changed: readonly Pattern[]
  readonly #same: readonly Pattern[]
  readonly #all: readonly Pattern[]
  readonly #variable: readonly Pattern[]
  readonly #common = new Map<Pattern, readonly Topics[]>()
  readonly #fixed = new Map<Pattern, readonly FilledPattern[]>()
  readonly #qos: readonly Qos[]
  readonly #retain: readonly boolean[]
  readonly #hasWill: boolean
  readonly #hasUnsubscribe: boolean
  readonly #hasConnect: boolean
  readonly #groups: readonly string[]
  readonly #edges: readonly string[]
  #pairs = MAX_PAIRS

  constructor(before: CompiledPolicy, after: CompiledPolicy, given: readonly NamedIdentity[]) {
    const policies = [before.policy, after.policy]
    const { changed, same } = sortRules(before.policy, after.policy)
    const rules = [...changed, ...same]
    this.#changed = patternsOf(changed)
    this.#same = patternsOf(same)
    this.#all = [...this.#changed, ...this.#same]
    this.#variable = this.#all.filter((pattern) => !isStatic(pattern))
    const mentions = (test: (rule: Rule) => boolean) => rules.some(test)
    this.#qos = mentions(({ qos, maxQos }) => qos !== null || maxQos !== null) ? [0, 1, 2] : [1]
    this.#retain = mentions(({ retain }) => retain !== 'any') ? [false, true] : [false]
    this.#hasWill = mentions(({ will }) => !will)
    this.#hasUnsubscribe = mentions(({ actions }) => actions.has('unsubscribe')) || differs(policies, 'unsubscribe')
    this.#hasConnect = mentions(({ actions }) => actions.has('connect')) || differs(policies, 'connect')
    this.#groups = mentions(({ shared, shareGroups }) => shared !== 'any' || shareGroups !== null)
      ? groupsIn(rules)
      : []
    this.#edges = edgesBetween(before.policy, after.policy)
    this.askers = askersOf(given, changed, same, policies)
  }

  /** The requests of one identity about what differs: every one of them matters. */
  *about(asker: Asker): Generator<AccessRequest> {
    yield* asker.asks
    if (this.#hasConnect) yield { action: 'connect', topic: '' }
    const isMade = asker.madeFor !== null
    const names = ['any-1/any-1', '$SYS/any-1', ...this.#edges]
    yield* this.#ask({ names: new Set(names), filters: new Set(isMade ? [] : ['#', '+/any-1', '$SYS/#']) })
    const own = isMade ? this.#changed.filter(({ rule }) => rule === asker.madeFor) : []
    for (const pattern of [...own, ...this.#changed]) yield* this.#ask(topicsOf(pattern, asker.identity))
    for (const pattern of this.#changed) {
      for (const topics of isStatic(pattern) ? this.#commonOfAll(pattern) : []) yield* this.#ask(topics)
      const filled = this.#fill(pattern, asker.identity)
      const others = isStatic(pattern) ? this.#variable : this.#all
      for (const other of others) {
        if (other === pattern || --this.#pairs < 0) continue
        yield* this.#ask(commonTopics(filled, this.#fill(other, asker.identity)))
      }
    }
  }

  /** What a pattern without variables has in common with others without. */
  #commonOfAll(pattern: Pattern): readonly Topics[] {
    const known = this.#common.get(pattern)
    if (known) return known
    const filled = this.#fill(pattern, {})
    const common = this.#all.flatMap((other) => {
      if (other === pattern || !isStatic(other) || --this.#pairs < 0) return []
      const topics = commonTopics(filled, this.#fill(other, {}))
      return topics.filters.size > 0 ? [topics] : []
    })
    this.#common.set(pattern, common)
    return common
  }

  /** The requests of one identity about what stands in both as it is: asked while there is time. */
  *beside({ identity, madeFor }: Asker): Generator<AccessRequest> {
    const own = this.#same.filter(({ rule }) => rule === madeFor)
    for (const pattern of own.length > 0 ? own : this.#same) yield* this.#ask(topicsOf(pattern, identity))
  }

  /** Whether every pair of patterns was looked at so far. */
  get isComplete(): boolean {
    return this.#pairs >= 0
  }

  #fill(pattern: Pattern, identity: Identity): readonly FilledPattern[] {
    if (!isStatic(pattern)) return filtersOf(pattern, identity)
    const known = this.#fixed.get(pattern) ?? filtersOf(pattern, identity)
    this.#fixed.set(pattern, known)
    return known
  }

  *#ask({ names, filters }: Topics): Generator<AccessRequest> {
    for (const topic of names) {
      for (const retain of this.#retain) {
        for (const qos of this.#qos) yield { action: 'publish', topic, qos, retain }
        if (this.#hasWill) yield { action: 'will', topic, retain }
      }
      yield { action: 'receive', topic }
    }
    for (const topic of [...names, ...filters]) {
      for (const qos of this.#qos) yield { action: 'subscribe', topic, qos }
      for (const group of this.#groups) yield { action: 'subscribe', topic: `$share/${group}/${topic}`, qos: 1 }
      if (this.#hasUnsubscribe) yield { action: 'unsubscribe', topic }
    }
  }
}

function differs([before, after]: readonly Policy[], action: 'connect' | 'unsubscribe'): boolean {
  return before?.defaults[action] !== after?.defaults[action]
}

function groupsIn(rules: readonly Rule[]): readonly string[] {
  const named = rules
    .flatMap(({ shareGroups }) => shareGroups ?? [])
    .map((parts) => parts.map((part) => (typeof part === 'string' ? part : 'x')).join(''))
  return [...new Set([...named.slice(0, MAX_GROUPS), 'any-group'])]
}

/** Topics at the limits of syntax that differ. */
function edgesBetween({ options: a }: Policy, { options: b }: Policy): string[] {
  const levels = Math.min(a.maxTopicLevels, b.maxTopicLevels) + 1
  const edges: string[] = []
  if (a.maxTopicLevels !== b.maxTopicLevels) edges.push(Array<string>(levels).fill('a').join('/'))
  if (a.maxTopicBytes !== b.maxTopicBytes) edges.push('a'.repeat(Math.min(a.maxTopicBytes, b.maxTopicBytes) + 1))
  if (a.rejectControlChars !== b.rejectControlChars) edges.push('a/\u0001')
  return edges
}

function askersOf(
  given: readonly NamedIdentity[],
  changed: readonly Rule[],
  same: readonly Rule[],
  policies: readonly Policy[],
): readonly Asker[] {
  const common = commonIdentity(policies)
  const askers = new Map<string, Asker>()
  const add = (name: string, identity: Identity, madeFor: Rule | null) => {
    const text = JSON.stringify(identity)
    const asker = askers.get(text) ?? { name, identity, madeFor, asks: [] }
    askers.set(text, asker)
    return asker
  }
  for (const { name, identity } of given.slice(0, MAX_GIVEN)) add(name, identity, null)
  for (const { tests } of policies) {
    for (const { name, as, do: action, topic, qos, retain } of tests.slice(0, MAX_FROM_TESTS))
      add(`as in test ${quote(name)}`, as, null).asks.push({ action, topic, qos, retain })
  }
  add('somebody', common, null)
  add('nobody', {}, null)
  const aliases = { ...policies[0]?.document.aliases, ...policies[1]?.document.aliases }
  const addFor = (rules: readonly Rule[], most: number) => {
    const until = askers.size + most
    for (const rule of rules) {
      if (askers.size >= until) return
      for (const identity of identitiesFor(rule, common, aliases)) add(`made for ${quote(rule.id)}`, identity, rule)
    }
  }
  addFor(changed, MAX_FOR_CHANGED)
  addFor(same, MAX_FOR_SAME)
  return [...askers.values()]
}
