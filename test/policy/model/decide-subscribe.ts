import type { Decision } from '#src/policy/access.ts'
import type { Qos } from '#src/policy/document.ts'
import {
  allowCovers,
  coversLevels,
  type FilterPattern,
  intersectLevels,
  patternCovers,
  patternOverlaps,
} from './filter-levels.ts'
import { eqMatches, type MatcherPattern, regexMatches, type TopicText } from './matcher-patterns.ts'
import type { ReferenceRule } from './reference-policy.ts'
import { patternsOf, type ReferenceSession, requireHolds, shareHolds } from './reference-session.ts'

interface Subscription {
  readonly filter: TopicText
  readonly group: string | null
  readonly qos: Qos
  readonly delivery: boolean
}

const deny = (reason: 'rule' | 'deny-overlap' | 'default', rule: string | null): Decision => ({
  decision: 'deny',
  reason,
  rule,
  qos: null,
  retain: null,
})

const allow = (reason: 'rule' | 'filtered' | 'default', rule: string | null, qos: Qos): Decision => ({
  decision: 'allow',
  reason,
  rule,
  qos,
  retain: null,
})

/** Whether a regex may be asked about a filter at all: one that begins with `$` only where the pattern says so. */
const mayBegin = ({ dollar }: MatcherPattern & { kind: 'regex' }, { text }: TopicText) =>
  dollar || !text.startsWith('$')

function denyOverlaps(pattern: MatcherPattern, { filter }: Subscription): boolean {
  switch (pattern.kind) {
    case 'filter':
      return patternOverlaps(pattern, filter.canonical)
    case 'eq':
      return eqMatches(pattern, filter, 'deny')
    case 'regex':
      if (pattern.isText) return regexMatches(pattern, filter.text)
      return mayBegin(pattern, filter) && pattern.language.overlaps(filter.text)
  }
}

/** Asked of patterns that overlap; an eq or text that matches covers. */
function denyCovers(pattern: MatcherPattern, { filter, delivery }: Subscription): boolean {
  switch (pattern.kind) {
    case 'filter':
      return patternCovers(pattern, filter.canonical)
    case 'eq':
      return true
    case 'regex':
      return pattern.isText || pattern.language.covers(filter.text, !delivery)
  }
}

function covers(pattern: MatcherPattern, { filter, delivery }: Subscription): boolean {
  switch (pattern.kind) {
    case 'filter':
      return allowCovers(pattern, filter.canonical)
    case 'eq':
      return eqMatches(pattern, filter, 'allow')
    case 'regex':
      if (pattern.isText) return regexMatches(pattern, filter.text)
      return mayBegin(pattern, filter) && pattern.language.covers(filter.text, !delivery)
  }
}

/** The levels that captures are read from: an eq compares the text as it is. */
const levelsFor = (pattern: MatcherPattern, { filter }: Subscription) =>
  pattern.kind === 'eq' ? filter.levels : filter.canonical

/** QoS that an allow grants; `undefined` where its condition leaves none. */
function grantedQos({ document }: ReferenceRule, { qos }: Subscription): Qos | undefined {
  const granted = document.qos === undefined ? qos : Math.max(...document.qos.filter((one) => one <= qos))
  return granted < 0 ? undefined : (Math.min(granted, document.maxQos ?? 2) as Qos)
}

/** What one deny does to a subscription: nothing, take deliveries out of it, or refuse it. */
function judgeDeny(
  session: ReferenceSession,
  rule: ReferenceRule,
  subscription: Subscription,
  carvers: readonly FilterPattern[],
): 'nothing' | 'filters' | 'rule' | 'deny-overlap' {
  const { filter, delivery } = subscription
  const hits = (patternsOf(session, rule) ?? []).filter(
    (pattern) =>
      denyOverlaps(pattern, subscription) &&
      requireHolds(session, rule, pattern.captures, levelsFor(pattern, subscription), { orUnbound: true }),
  )
  const isCarvedOut = (pattern: MatcherPattern) => {
    if (pattern.kind !== 'filter') return false
    const both = intersectLevels(pattern.canonical, filter.canonical)
    return carvers.some((carver) => coversLevels(carver.canonical, both, carver.dollar))
  }
  const left = hits.filter((pattern) => !isCarvedOut(pattern))
  session.carveOuts += hits.length - left.length
  if (left.length === 0) return 'nothing'
  const mayFilter = delivery && (rule.document.overlap === 'filter' || session.policy.isFiltered)
  if (mayFilter && !left.some((pattern) => denyCovers(pattern, subscription))) return 'filters'
  return hits.some((pattern) => denyCovers(pattern, subscription)) ? 'rule' : 'deny-overlap'
}

/** SUBSCRIBE: every name that the filter can match has to be allowed. */
export function decideSubscribe(session: ReferenceSession, subscription: Subscription): Decision {
  const { policy } = session
  const { filter, qos, group, delivery } = subscription
  const carvers: FilterPattern[] = []
  let isMarked = false
  let partial: { rule: string; qos: Qos } | undefined
  for (const tier of policy.tiers) {
    const plain: FilterPattern[] = []
    let best: { rule: string; qos: Qos } | undefined
    let tierPartial: { rule: string; qos: Qos } | undefined
    for (const rule of tier) {
      if (!rule.actions.has('subscribe') || !shareHolds(session, rule, group)) continue
      if (rule.effect === 'deny') {
        const verdict = judgeDeny(session, rule, subscription, carvers)
        if (verdict === 'filters') isMarked = true
        else if (verdict !== 'nothing') return deny(verdict, rule.id)
        continue
      }
      const granted = grantedQos(rule, subscription)
      if (granted === undefined) continue
      for (const pattern of patternsOf(session, rule) ?? []) {
        const levels = levelsFor(pattern, subscription)
        const requires = (orUnbound: boolean) => requireHolds(session, rule, pattern.captures, levels, { orUnbound })
        if ((best === undefined || granted > best.qos) && covers(pattern, subscription) && requires(false))
          best = { rule: rule.id, qos: granted }
        if (pattern.kind !== 'filter') continue
        if (pattern.captures.length === 0 && rule.require.length === 0) plain.push(pattern)
        if (!policy.isFiltered || (tierPartial !== undefined && granted <= tierPartial.qos)) continue
        if (patternOverlaps(pattern, filter.canonical) && requires(true)) tierPartial = { rule: rule.id, qos: granted }
      }
    }
    if (best !== undefined) return allow(isMarked ? 'filtered' : 'rule', best.rule, best.qos)
    carvers.push(...plain)
    partial ??= tierPartial
  }
  if (policy.defaults.subscribe === 'allow' && !filter.text.startsWith('$'))
    return allow(isMarked ? 'filtered' : 'default', null, qos)
  if (partial !== undefined && delivery) return allow('filtered', partial.rule, partial.qos)
  return deny('default', null)
}
