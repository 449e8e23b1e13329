import fc from 'fast-check'
import type { MatcherDocument, Qos, RuleAction, RuleDocument } from '#src/policy/document.ts'
import { capturingText, patternText, rarely, weighted } from './texts.ts'
import { whenArbitrary } from './when.ts'

/** What a document may hold: share conditions do not go together with filtering at delivery. */
export type Flavour = 'shares' | 'filters deliveries'

const regexes = [
  '.*',
  '.*',
  '.+',
  'a/.*',
  'a.*',
  '[^/]+/b',
  '[^/]*',
  '(a|b)/[ab]',
  'a(/.*)?',
  '\\$s/.*',
  'a/[^/]+',
  '[ab](/[ab])*',
  '${clientId}/.*',
  'a/${claims.x}',
  '${claims.list[]}(/.*)?',
  '\\Qa/\\E.',
]

const optionally = <T extends object>(base: T, name: string, value: unknown): T =>
  value === undefined ? base : { ...base, [name]: value }

const matcher: fc.Arbitrary<MatcherDocument> = fc.oneof<fc.MaybeWeightedArbitrary<MatcherDocument>[]>(
  { weight: 7, arbitrary: patternText },
  {
    weight: 2,
    arbitrary: fc
      .tuple(patternText, rarely(fc.boolean(), 3))
      .map(([filter, dollar]) => optionally({ filter }, 'dollar', dollar)),
  },
  { weight: 2, arbitrary: patternText.map((eq) => ({ eq })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('${claims.p|path}/+:s', '${claims.p|path}/#', '+:s/#').map((eq) => ({ eq })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...regexes), fc.constantFrom('text', 'semantic', undefined), rarely(fc.boolean(), 2))
      .map(([regex, subscribe, dollar]) => optionally(optionally({ regex }, 'subscribe', subscribe), 'dollar', dollar)),
  },
)

const template = (withR: boolean) =>
  fc.constantFrom(
    ...(withR ? ['${topic.s}', '${topic.r}', '${topic.s}.${topic.r}'] : ['${topic.s}', '${topic.s}.x', 'a']),
  )

const requirement = fc.boolean().chain((withR) =>
  fc.record({
    topics: fc.array(
      fc
        .tuple(
          capturingText(withR),
          weighted([
            [4, 'text'],
            [2, 'eq'],
            [1, 'dollar'],
          ]),
        )
        .map(([text, kind]): MatcherDocument => {
          if (kind === 'text') return text
          return kind === 'eq' ? { eq: text } : { filter: text, dollar: true }
        }),
      { minLength: 1, maxLength: 2 },
    ),
    require: fc.array(
      fc.record({
        in: fc.constantFrom('scopes', 'groups', 'several'),
        any: fc.array(template(withR), { minLength: 1, maxLength: 2 }),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  }),
)

const actions: fc.Arbitrary<readonly RuleAction[] | undefined> = fc.oneof<
  fc.MaybeWeightedArbitrary<readonly RuleAction[] | undefined>[]
>(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.constant(['publish']) },
  { weight: 3, arbitrary: fc.subarray(['publish', 'subscribe', 'receive', 'unsubscribe'] as const, { minLength: 1 }) },
  { weight: 1, arbitrary: fc.constant(['connect']) },
)

const raw = fc.record({
  effect: weighted([
    [3, 'allow'],
    [2, 'deny'],
  ] as const),
  priority: weighted([
    [3, undefined],
    [3, 0],
    [3, 1],
    [2, 2],
    [1, -1],
  ]),
  enabled: weighted([
    [12, undefined],
    [1, true],
    [1, false],
  ]),
  when: rarely(whenArbitrary, 2),
  actions,
  topics: fc.array(matcher, { minLength: 1, maxLength: 3 }),
  requirement: rarely(requirement, 4),
  qos: rarely(fc.subarray([0, 1, 2] as Qos[], { minLength: 1 }), 4),
  maxQos: rarely(fc.constantFrom<Qos[]>(0, 0, 1, 1, 2), 1),
  qosMode: fc.constantFrom('deny', 'cap', 'cap', undefined),
  retain: rarely(fc.constantFrom('any', 'forbid', 'require', 'strip'), 2),
  shared: rarely(fc.constantFrom('any', 'forbid', 'require'), 4),
  shareGroups: rarely(
    fc.array(fc.constantFrom('g', 'h', 'w-${clientId}', '${claims.x}', '${mine|enc}'), { minLength: 1, maxLength: 2 }),
    4,
  ),
  will: rarely(fc.boolean(), 3),
  overlap: rarely(fc.constantFrom('refuse', 'filter'), 1),
})

/** `|path` is an error in a deny. */
function withoutPath(text: string): string {
  return text.replaceAll('|path}', '}')
}

function legalMatcher(one: MatcherDocument, effect: 'allow' | 'deny'): MatcherDocument {
  if (effect === 'allow') return one
  if (typeof one === 'string') return withoutPath(one)
  if ('filter' in one) return { ...one, filter: withoutPath(one.filter) }
  return 'eq' in one ? { eq: withoutPath(one.eq) } : one
}

type Raw = typeof raw extends fc.Arbitrary<infer T> ? T : never

/** Members that only an allow may have, or only a deny, or only one about publishing. */
function members(
  { effect, qos, maxQos, qosMode, retain, will, overlap }: Raw,
  isPublishOnly: boolean,
  flavour: Flavour,
) {
  if (effect === 'allow') return { qos, maxQos, qosMode: maxQos === undefined ? undefined : qosMode, retain, will }
  const about = isPublishOnly ? { qos, retain: retain === 'strip' ? undefined : retain, will } : {}
  return { ...about, overlap: flavour === 'shares' && overlap === 'filter' ? undefined : overlap }
}

/** Keeps what the specification allows together. */
function legalRule(one: Raw, id: string, flavour: Flavour): RuleDocument {
  const { effect, priority, enabled, when } = one
  const base = { id, effect, priority, enabled, when, actions: one.actions }
  if (one.actions?.includes('connect') === true) return defined(base)
  const { topics, require } = one.requirement ?? { topics: one.topics, require: undefined }
  const isShared = flavour === 'shares' && (one.actions?.includes('subscribe') ?? true)
  const shares = one.shareGroups === undefined ? { shared: one.shared } : { shareGroups: one.shareGroups }
  return defined({
    ...base,
    topics: topics.map((matcherOf) => legalMatcher(matcherOf, effect)),
    require,
    ...(isShared ? shares : {}),
    ...members(one, one.actions?.length === 1 && one.actions[0] === 'publish', flavour),
  })
}

/** Leaves out the members that are `undefined`, as JSON has none. */
function defined(rule: Readonly<Record<string, unknown>>): RuleDocument {
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as unknown as RuleDocument
}

/** A rule that waits for its id and for what its document may hold. */
export type RuleFor = (id: string, flavour: Flavour) => RuleDocument

export const ruleArbitrary: fc.Arbitrary<RuleFor> = raw.map((one) => (id, flavour) => legalRule(one, id, flavour))

export const denyArbitrary: fc.Arbitrary<RuleFor> = raw.map(
  (one) => (id, flavour) => legalRule({ ...one, effect: 'deny' }, id, flavour),
)
