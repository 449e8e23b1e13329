import type { CapturePlace, CompiledRule } from './compiled-rule.ts'
import type { Qos } from './document.ts'
import { canonical, covers, type Levels, levelsOf, overlaps } from './levels.ts'
import type { Entry } from './pattern-trie.ts'
import { type Effort, fullEffort } from './regex/effort.ts'
import { regexCovers, regexOverlaps } from './regex-relation.ts'
import type { Session } from './session.ts'
import type { SharedFilter } from './topic-syntax.ts'

/** A SUBSCRIBE, taken apart. */
export class Subscription {
  readonly session: Session
  readonly group: string | null
  /** The filter without share prefix. */
  readonly text: string
  readonly qos: Qos
  /** Whether the surface checks every delivery. */
  readonly delivery: boolean
  #effort: Effort | null = null
  #filter: Levels | null = null

  constructor(session: Session, { group, filter }: SharedFilter, qos: Qos, delivery: boolean) {
    this.session = session
    this.group = group
    this.text = filter
    this.qos = qos
    this.delivery = delivery
  }

  /** What regexes may still cost this decision. */
  get effort(): Effort {
    this.#effort ??= fullEffort()
    return this.#effort
  }

  /** The filter in canonical form. */
  get filter(): Levels {
    this.#filter ??= canonical(levelsOf(this.text))
    return this.#filter
  }
}

/** The QoS that an allow grants; `undefined` when none of its set is low enough. */
export function grantedQos({ rule }: CompiledRule, requested: Qos): Qos | undefined {
  const { qos, maxQos } = rule
  const member = qos === null ? requested : ([2, 1, 0] as const).find((one) => one <= requested && qos.includes(one))
  return member !== undefined && maxQos !== null && maxQos < member ? maxQos : member
}

/** Whether a rule is about subscriptions of this kind: shared or not, and of which group. */
export function shareConditionsHold({ rule, isDeny }: CompiledRule, { session, group }: Subscription): boolean {
  const { shared, shareGroups } = rule
  if (shareGroups === null && shared === 'any') return true
  if (group === null) return shareGroups === null && shared === 'forbid'
  if (shareGroups === null) return shared === 'require'
  return session.isInGroups(shareGroups, group, isDeny)
}

/**
 * Whether what a rule requires is met by the captured levels of a filter. Over a wildcard a capture is unbound: such a
 * template satisfies where `unboundSatisfies`, and is passed over elsewhere.
 */
export function requirementsHold(
  { rule }: CompiledRule,
  captures: readonly CapturePlace[],
  { session, text }: Subscription,
  unboundSatisfies: boolean,
): boolean {
  if (rule.require.length === 0) return true
  const levels = text.split('/')
  const textAt = (name: string) => {
    const place = captures.find((capture) => capture.name === name)
    const level = place && levels[place.level]
    return level === '+' || level === '#' ? undefined : level
  }
  return session.meets(rule.require, textAt, unboundSatisfies)
}

/** Whether a regex matches the text of the filter. */
export function regexMatchesText(entry: Entry, { session, text, effort }: Subscription): boolean {
  const { dollar, isDeny } = entry
  if (!dollar && text.charCodeAt(0) === 0x24) return false
  return session.regexesOf(entry).some((one) => one.matches(text, isDeny, effort))
}

/**
 * Whether the levels of an `eq`, variables filled in, are those of a filter's text. What stands for any level there (a capture,
 * or a variable that a deny cannot use) takes a wildcard only in a deny.
 */
export function equalsText(levels: Levels, text: string, isDeny: boolean): boolean {
  const texts = text.split('/')
  if (levels.length !== texts.length) return false
  return levels.every((level, i) => {
    if (typeof level === 'string') return level === texts[i]
    return isDeny || (texts[i] !== '+' && texts[i] !== '#')
  })
}

/** One way in which a deny meets a filter. */
export interface Hit {
  /** Whether the deny takes all of the filter. */
  readonly covers: boolean
  /** The pattern; `null` for one that no hole can be carved into. */
  readonly pattern: Levels | null
}

/** The ways in which a deny that the index found, or that has to be tried, meets the filter. */
export function hitsOf(entry: Entry, subscription: Subscription): readonly Hit[] {
  const { rule, matcher, dollar, captures } = entry
  const { session, filter, text, delivery } = subscription
  if (matcher.kind === 'eq')
    return requirementsHold(rule, captures, subscription, true) ? [{ covers: true, pattern: null }] : []
  if (matcher.kind === 'filter') {
    const hits: Hit[] = []
    for (const one of session.fill(entry)) {
      if (!overlaps(one.levels, filter, dollar) || !requirementsHold(rule, one.captures, subscription, true)) continue
      hits.push({ covers: covers(one.levels, filter, dollar), pattern: one.levels })
    }
    return hits
  }
  if (matcher.subscribe === 'text')
    return regexMatchesText(entry, subscription) ? [{ covers: true, pattern: null }] : []
  const how = { exact: !delivery, dollar, effort: subscription.effort }
  return session
    .regexesOf(entry)
    .filter((regex) => regexOverlaps(regex, filter, text, how))
    .map((regex) => ({ covers: regexCovers(regex, filter, text, how), pattern: null }))
}

/** Whether an allow that has to be tried covers the filter and has what it requires. */
export function triedAllowHolds(entry: Entry, subscription: Subscription): boolean {
  const { rule, matcher, dollar } = entry
  const { session, filter, text, delivery } = subscription
  if (matcher.kind === 'regex') {
    if (matcher.subscribe === 'text') return regexMatchesText(entry, subscription)
    const how = { exact: !delivery, dollar, effort: subscription.effort }
    return session.regexesOf(entry).some((regex) => regexCovers(regex, filter, text, how))
  }
  if (matcher.kind === 'eq') {
    return session.fill(entry).some(({ levels, captures }) => {
      return equalsText(levels, text, rule.isDeny) && requirementsHold(rule, captures, subscription, false)
    })
  }
  return session.fill(entry).some(({ levels, captures }) => {
    if (!covers(levels, filter, dollar) || !captures.every(({ level }) => typeof filter[level] === 'string'))
      return false
    return requirementsHold(rule, captures, subscription, false)
  })
}
