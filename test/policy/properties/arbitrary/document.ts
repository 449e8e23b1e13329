import fc from 'fast-check'
import {
  type MatcherDocument,
  POLICY_SCHEMA,
  type PolicyDocument,
  type Qos,
  type RuleDocument,
} from '#src/policy/document.ts'
import { carveOutArbitrary } from './carve-out.ts'
import { denyArbitrary, type Flavour, ruleArbitrary } from './rule.ts'
import { rarely, weighted } from './texts.ts'

/** Code points and UTF-16 units order the last two differently. */
const ids = ['r1', 'r10', 'r2', 'R', 'a', 'é', '\u{1f600}', '\uff5e']

const effect = fc.constantFrom('allow', 'deny')

const defaults = fc.oneof(
  { weight: 4, arbitrary: fc.constant('deny') },
  { weight: 2, arbitrary: fc.constant('allow') },
  {
    weight: 1,
    arbitrary: fc.record(
      { publish: effect, subscribe: effect, connect: effect, unsubscribe: effect },
      { requiredKeys: [] },
    ),
  },
)

/** Has a rule speak of the topics of an earlier one, mostly in its tier: what one does in the place of another shows there. */
const twin = fc.record({
  cap: fc.constantFrom<(Qos | undefined)[]>(undefined, undefined, 0, 1),
  of: fc.nat(5),
  isInItsTier: weighted([
    [3, true],
    [1, false],
  ]),
})

const raw = fc.record({
  twins: fc.array(rarely(twin, 1), { minLength: 6, maxLength: 6 }),
  carveOut: rarely(carveOutArbitrary, 3),
  flavour: fc.constantFrom<Flavour[]>('shares', 'filters deliveries'),
  rules: fc.array(ruleArbitrary, { minLength: 1, maxLength: 6 }),
  ids: fc.shuffledSubarray(ids, { minLength: ids.length }),
  default: rarely(defaults, 3),
  subscribe: fc.constantFrom('strict', 'filtered'),
  receive: weighted([
    [2, undefined],
    [1, 'derive'],
    [1, 'explicit'],
  ]),
  limits: rarely(
    fc.record(
      {
        maxTopicBytes: fc.constantFrom(4, 64),
        maxTopicLevels: fc.constantFrom(2, 5),
        rejectControlChars: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
    20,
  ),
})

type Raw = typeof raw extends fc.Arbitrary<infer T> ? T : never

function asTwin(rule: RuleDocument, rules: readonly RuleDocument[], how: Raw['twins'][number]): RuleDocument {
  const other = how && rules[how.of]
  if (other?.topics === undefined || rule.topics === undefined || rule.require !== undefined) return rule
  if (rule.effect === 'deny' && JSON.stringify(other.topics).includes('|path}')) return rule
  const { priority = 0 } = other
  const cap = how?.cap === undefined || rule.effect === 'deny' ? {} : { maxQos: how.cap, qosMode: 'cap' as const }
  return { ...rule, topics: other.topics, ...cap, ...(how?.isInItsTier === true ? { priority } : {}) }
}

function documentOf(one: Raw): PolicyDocument {
  const rules = one.rules.map((rule, i) => rule(one.ids[i] ?? `r${i}`, one.flavour))
  const options = {
    ...(one.flavour === 'shares' ? {} : { subscribe: one.subscribe }),
    ...(one.receive === undefined ? {} : { receive: one.receive }),
    ...one.limits,
  }
  return {
    schema: POLICY_SCHEMA,
    id: 'p',
    ...(one.default === undefined ? {} : { default: one.default }),
    options,
    aliases: { mine: 'claims.x', several: 'claims.list' },
    rules: [
      ...rules.map((rule, i) => asTwin(rule, rules.slice(0, i), one.twins[i])),
      ...(one.carveOut?.(one.flavour) ?? []),
    ],
  } as PolicyDocument
}

/** Valid documents of a few rules that meet each other often: all matchers, conditions, tiers and modes. */
export const documentArbitrary: fc.Arbitrary<PolicyDocument> = raw.map(documentOf)

/** A document, and the same with one more deny. */
export const stricterArbitrary: fc.Arbitrary<{ document: PolicyDocument; stricter: PolicyDocument }> = fc
  .tuple(raw, denyArbitrary)
  .map(([one, deny]) => {
    const document = documentOf(one)
    return { document, stricter: { ...document, rules: [...document.rules, deny('more', one.flavour)] } }
  })

/** A copy without some of its members. */
function without<T extends object>(value: T, ...names: readonly string[]): T {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name))) as T
}

/** What a matcher says of names, where it is decided by the text of a filter. */
function asNames(matcher: MatcherDocument): MatcherDocument {
  if (typeof matcher === 'string' || 'filter' in matcher) return matcher
  return 'eq' in matcher ? matcher.eq : without(matcher, 'subscribe')
}

const asFilter = (matcher: MatcherDocument): MatcherDocument =>
  typeof matcher === 'object' && 'regex' in matcher ? 'a/#' : asNames(matcher)

function withTopics(rule: RuleDocument, change: (matcher: MatcherDocument) => MatcherDocument): RuleDocument {
  return rule.topics === undefined ? rule : { ...rule, topics: rule.topics.map(change) }
}

/** The same document without eq and `text`. */
export function withoutTexts(document: PolicyDocument): PolicyDocument {
  return { ...document, rules: document.rules.map((rule) => withTopics(rule, asNames)) }
}

/** The same document in strict mode, of filters alone, without `overlap: filter` and conditions on the QoS. */
export function strictFilters(document: PolicyDocument): PolicyDocument {
  const rules = document.rules.map((rule) => without(withTopics(rule, asFilter), 'qos', 'overlap'))
  return { ...document, options: without(document.options ?? {}, 'subscribe'), rules }
}
