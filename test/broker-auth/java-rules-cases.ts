import type { Identity } from '#src/policy/identity.ts'
import type { createRandom } from '../policy/regex/random.ts'

export type Random = ReturnType<typeof createRandom>

function tuples(symbols: readonly string[], length: number): string[] {
  if (length === 1) return [...symbols]
  return tuples(symbols, length - 1).flatMap((start) => symbols.map((symbol) => `${start}/${symbol}`))
}

const levels = ['a', 'b', '', '$s', 'c.1']
const wild = [...levels, '+']

let names: readonly string[] | undefined
/** Every topic name of up to three of a few levels. */
export function namesOf(): readonly string[] {
  names ??= [1, 2, 3].flatMap((length) => tuples(levels, length)).filter((name) => name !== '')
  return names
}

let filters: readonly string[] | undefined
/** Every filter of up to three of a few levels, wildcards among them. */
export function filtersOf(): readonly string[] {
  filters ??= [
    '#',
    ...[1, 2, 3].flatMap((length) => tuples(wild, length)).filter((filter) => filter !== ''),
    ...[1, 2].flatMap((length) => tuples(wild, length)).map((filter) => `${filter}/#`),
  ]
  return filters
}

export function someIdentity(random: Random): Identity {
  return {
    clientId: random.pick(['a', 'c.1', 'a/b', '$s']),
    ...(random.below(3) === 0 ? {} : { username: random.pick(['b', '+', 'a']) }),
    groups: random.below(2) === 0 ? ['g'] : [],
    claims: { rooms: random.pick([['a', 'b'], ['a', '#'], [], 'a']) },
  }
}

const patternLevels = ['a', 'b', '$s', '+', '+', '${clientId}', '${username}', '${claims.rooms[]}', '']

function someFilter(random: Random): string {
  const count = 1 + random.below(3)
  const parts = Array.from({ length: count }, () => random.pick(patternLevels))
  const lists = parts.filter((part) => part.includes('[]'))
  const usable = lists.length > 1 ? parts.map((part) => (part.includes('[]') ? 'a' : part)) : parts
  const text = usable.join('/') + (random.below(3) === 0 ? '/#' : '')
  return random.below(12) === 0 || text === '' ? '#' : text
}

const regexes = ['a/.*', 'a/[^/]+', '(a|b)/.*', '[ab]*', '.*', '\\$s/.*', 'a/${clientId}', 'a?/b?', '(a/b|b)']

function someMatcher(random: Random): unknown {
  switch (random.below(9)) {
    case 0:
      return { eq: random.pick(['a/#', '#', '+/b', 'a', '${clientId}/+', 'a/+/b']) }
    case 1:
      return { regex: random.pick(regexes), ...(random.below(2) === 0 ? { subscribe: 'text' } : {}) }
    case 2:
      return { filter: someFilter(random), dollar: random.below(2) === 0 }
    default:
      return someFilter(random)
  }
}

function someRule(random: Random, i: number): Record<string, unknown> {
  const isDeny = random.below(3) === 0
  const actions = random.pick([
    ['publish'],
    ['subscribe'],
    ['publish', 'subscribe'],
    ['publish', 'subscribe', 'receive'],
  ])
  const publishes = actions.length === 1 && actions[0] === 'publish'
  const subscribes = actions.includes('subscribe')
  const conditions = isDeny
    ? {
        ...(publishes && random.below(4) === 0
          ? random.pick([{ qos: [0] }, { retain: 'require' }, { will: false }])
          : {}),
      }
    : random.below(4) > 0
      ? {}
      : random.pick([
          { qos: [0, 1] },
          { maxQos: 1 },
          { maxQos: 0, qosMode: 'cap' },
          { retain: 'strip' },
          { retain: 'forbid' },
          { will: false },
        ])
  const shares = subscribes && random.below(8) === 0 ? random.pick([{ shared: 'forbid' }, { shared: 'require' }]) : {}
  return {
    id: `r${i}`,
    effect: isDeny ? 'deny' : 'allow',
    actions,
    priority: random.below(3),
    topics: Array.from({ length: 1 + random.below(2) }, () => someMatcher(random)),
    ...(random.below(5) === 0 ? { when: { groups: ['g'] } } : {}),
    ...conditions,
    ...shares,
  }
}

/** A small policy of any kind. */
export function anyPolicyText(random: Random): Record<string, unknown> {
  const rules = Array.from({ length: 1 + random.below(4) }, (_, i) => someRule(random, i))
  return {
    ...(random.below(8) === 0 ? { default: 'allow' } : {}),
    ...(random.below(6) === 0 ? { options: { maxTopicLevels: 2 } } : {}),
    ...(random.below(8) === 0 ? { options: { maxTopicBytes: 3 } } : {}),
    rules,
  }
}
