import fc from 'fast-check'
import type { AccessAction, AccessRequest } from '#src/policy/access.ts'
import type { MatcherDocument, PolicyDocument, Qos } from '#src/policy/document.ts'
import { oddTopic, plainFilter, topicName, weighted } from './texts.ts'

/** A request that may look at the document first, so that it asks about what the document speaks of. */
export type RequestFor = (document: PolicyDocument) => AccessRequest

const action = weighted<AccessAction>([
  [8, 'publish'],
  [4, 'will'],
  [12, 'subscribe'],
  [6, 'receive'],
  [2, 'connect'],
  [4, 'unsubscribe'],
  [1, 'superuser' as AccessAction],
])

const group = fc.constantFrom('g', 'g', 'h', 'w-a', 'w-b', 'a', 'b', 'a%2Fb', '$s')

const plan = fc.record({
  action,
  group: weighted([
    [2, null],
    [1, 'shared'],
  ]),
  groupName: group,
  source: weighted([
    [6, 'document'],
    [6, 'any'],
    [1, 'odd'],
  ]),
  name: topicName,
  filter: plainFilter,
  odd: oddTopic,
  rule: fc.nat(7),
  matcher: fc.nat(2),
  fill: fc.array(
    weighted([
      [6, 'a'],
      [6, 'b'],
      [1, 'c'],
      [4, '+'],
      [1, '$s'],
    ]),
    { minLength: 4, maxLength: 4 },
  ),
  tail: fc.array(fc.constantFrom('a', 'b', ''), { maxLength: 2 }),
  staysOpen: fc.boolean(),
  qos: fc.constantFrom<(Qos | undefined)[]>(0, 1, 2, undefined),
  retain: fc.constantFrom(true, false, undefined),
})

type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

const textOf = (matcher: MatcherDocument | undefined): string => {
  if (matcher === undefined || typeof matcher === 'string') return matcher ?? 'a'
  if ('filter' in matcher) return matcher.filter
  return 'eq' in matcher ? matcher.eq : matcher.regex.replaceAll(/[^\w/$]/g, '')
}

/** A pattern of the document with something in the place of what is open in it. */
function followed({ rule, matcher, fill, tail, staysOpen }: Plan, document: PolicyDocument, isFilter: boolean): string {
  const topics = document.rules[rule % document.rules.length]?.topics ?? []
  const word = (i: number) => (isFilter || fill[i] !== '+' ? (fill[i] ?? 'a') : 'a')
  const levels = textOf(topics[matcher % Math.max(1, topics.length)])
    .split('/')
    .flatMap((level, i) => {
      if (level === '#') return isFilter && staysOpen ? ['#'] : tail
      if (level === '${claims.p|path}' && staysOpen) return ['a', 'b']
      if (level.includes('${') && !level.includes('$${')) return [level.replaceAll(/\$\{[^}]*\}/g, word(i))]
      return level.startsWith('+') ? [word(i)] : [level.replaceAll('$${', '${')]
    })
  return levels.join('/')
}

function topicOf(one: Plan, document: PolicyDocument, isFilter: boolean): string {
  if (one.source === 'odd') return one.odd
  const text = one.source === 'document' ? followed(one, document, isFilter) : isFilter ? one.filter : one.name
  return isFilter && one.group !== null ? `$share/${one.groupName}/${text}` : text
}

function requestOf(one: Plan, document: PolicyDocument): AccessRequest {
  const isFilter = one.action.endsWith('subscribe')
  return {
    action: one.action,
    topic: one.action === 'connect' ? '' : topicOf(one, document, isFilter),
    ...(one.qos === undefined ? {} : { qos: one.qos }),
    ...(one.retain === undefined ? {} : { retain: one.retain }),
  }
}

/** Requests of every action. */
export const requestArbitrary: fc.Arbitrary<RequestFor> = plan.map((one) => (document) => requestOf(one, document))

/** Subscriptions to filters that are valid, or nearly always so. */
export const subscriptionArbitrary: fc.Arbitrary<RequestFor> = plan.map(
  (one) => (document) =>
    requestOf({ ...one, action: 'subscribe', source: one.source === 'odd' ? 'any' : one.source }, document),
)
