import type { MatcherDocument, PolicyDocument, RuleAction, RuleDocument } from '#src/policy/document.ts'
import { fillMatcher, hasVariables, type MatcherPattern, type ReferenceMatcher } from './matcher-patterns.ts'
import { type Aliases, type Part, parseLevels, parseTemplate, resolveAlias } from './pattern.ts'
import type { TopicOptions } from './syntax.ts'

/** `${topic.name}` in the templates of `require`. */
export type TopicPart = string | { readonly capture: string }

export interface Requirement {
  readonly path: string
  readonly any: readonly (readonly TopicPart[])[]
}

export interface ReferenceRule {
  /** Its place in the policy. */
  readonly index: number
  readonly document: RuleDocument
  readonly id: string
  readonly effect: 'allow' | 'deny'
  readonly actions: ReadonlySet<RuleAction>
  /** Matchers without variables, which are the same for every identity. */
  readonly fixed: readonly MatcherPattern[]
  readonly variable: readonly ReferenceMatcher[]
  readonly require: readonly Requirement[]
  /** Parsed templates; `null` where the rule names no groups. */
  readonly shareGroups: readonly (readonly Part[])[] | null
}

/** A policy with its patterns taken apart, its enabled rules in tiers, and nothing else prepared. */
export interface ReferencePolicy {
  readonly document: PolicyDocument
  readonly aliases: Aliases
  readonly isFiltered: boolean
  readonly isExplicit: boolean
  readonly topics: TopicOptions
  readonly defaults: Readonly<Record<'publish' | 'subscribe' | 'connect' | 'unsubscribe', 'allow' | 'deny'>>
  /** Highest priority first; inside a tier denies before allows, each by id. */
  readonly tiers: readonly (readonly ReferenceRule[])[]
}

function parseMatcher(matcher: MatcherDocument, effect: 'allow' | 'deny', aliases: Aliases): ReferenceMatcher {
  const dollarDefault = effect === 'deny'
  if (typeof matcher === 'string') return parseMatcher({ filter: matcher }, effect, aliases)
  if ('filter' in matcher)
    return { kind: 'filter', pattern: parseLevels(matcher.filter, aliases), dollar: matcher.dollar ?? dollarDefault }
  if ('eq' in matcher) return { kind: 'eq', pattern: parseLevels(matcher.eq, aliases), dollar: false }
  const { regex, subscribe, dollar = dollarDefault } = matcher
  return {
    kind: 'regex',
    parts: parseTemplate(regex, aliases),
    isText: subscribe === 'text',
    dollar: dollar || regex.startsWith('\\$'),
  }
}

/** Templates of `require` hold nothing but captures. */
function parseTopicTemplate(text: string): readonly TopicPart[] {
  return parseTemplate(text, {}).map((part) =>
    typeof part === 'string' ? part : { capture: part.path.replace(/^topic\./, '') },
  )
}

function parseRule(document: RuleDocument, index: number, aliases: Aliases): ReferenceRule {
  const matchers = (document.topics ?? []).map((matcher) => parseMatcher(matcher, document.effect, aliases))
  const { id, effect, actions = ['publish', 'subscribe', 'receive'], require = [], shareGroups } = document
  return {
    index,
    document,
    id,
    effect,
    actions: new Set(actions),
    fixed: matchers.filter((matcher) => !hasVariables(matcher)).flatMap((matcher) => fillMatcher(matcher, {}, effect)),
    variable: matchers.filter(hasVariables),
    require: require.map((entry) => ({
      path: resolveAlias(entry.in, aliases),
      any: entry.any.map(parseTopicTemplate),
    })),
    shareGroups: shareGroups?.map((group) => parseTemplate(group, aliases)) ?? null,
  }
}

/** Orders text by code point, as UTF-8 does. */
function compareCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function compareRules(a: ReferenceRule, b: ReferenceRule): number {
  if (a.effect !== b.effect) return a.effect === 'deny' ? -1 : 1
  return compareCodePoints(a.id, b.id)
}

function parseDefaults({ default: given = 'deny' }: PolicyDocument): ReferencePolicy['defaults'] {
  const named = typeof given === 'string' ? { publish: given, subscribe: given } : given
  return { publish: 'deny', subscribe: 'deny', connect: 'allow', unsubscribe: 'allow', ...named }
}

/** Takes a document apart, once. It must be a valid one. */
export function referencePolicy(document: PolicyDocument): ReferencePolicy {
  const { aliases = {}, options = {} } = document
  const rules = document.rules.filter(({ enabled = true }) => enabled).map((rule, i) => parseRule(rule, i, aliases))
  const byPriority = Map.groupBy(rules, (rule) => rule.document.priority ?? 0)
  return {
    document,
    aliases,
    isFiltered: options.subscribe === 'filtered',
    isExplicit: options.receive === 'explicit',
    topics: {
      maxTopicBytes: options.maxTopicBytes ?? 65_535,
      maxTopicLevels: options.maxTopicLevels ?? 128,
      rejectControlChars: options.rejectControlChars ?? true,
    },
    defaults: parseDefaults(document),
    tiers: [...byPriority].sort(([a], [b]) => b - a).map(([, tier]) => tier.sort(compareRules)),
  }
}
