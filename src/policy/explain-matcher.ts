import type { AccessRequest } from './access.ts'
import { type CapturePlace, type CompiledRule, type FilledPattern, spelledFilter } from './compiled-rule.ts'
import { fillLevels } from './fill.ts'
import { canonical, covers, filterText, type Levels, overlaps } from './levels.ts'
import type { Effort } from './regex/effort.ts'
import { coverCounterExample, overlapWitness, regexCoversFilter, regexOverlapsFilter } from './regex/language.ts'
import { renderTexts, variableTexts } from './render.ts'
import type { EqMatcher, FilterMatcher, Matcher, PatternLevel, RegexMatcher } from './rule.ts'
import { isTemplate } from './rule.ts'
import type { Session } from './session.ts'
import { equalsText, requirementsHold, type Subscription } from './subscription.ts'
import type { Variable } from './template.ts'
import { commonName, uncoveredName } from './witness.ts'

/** What became of one pattern of a rule whose other conditions hold. */
export interface MatcherStep {
  readonly applies: boolean
  readonly why: string
  readonly pattern: string
  readonly example: string | null
}

interface Asked {
  readonly rule: CompiledRule
  readonly request: AccessRequest
  readonly session: Session
  readonly subscription: Subscription | null
  readonly effort: Effort
}

function step(applies: boolean, why: string, pattern: string, example: string | null = null): MatcherStep {
  return { applies, why, pattern, example }
}

/** The first variable that no value may be used for. */
function unresolved(
  variables: readonly { variable: Variable; first: boolean }[],
  { rule, session }: Asked,
): string | undefined {
  const isUnusable = ({ variable, first }: { variable: Variable; first: boolean }) =>
    !variableTexts(variable, session.identity, { first, strict: rule.isDeny })?.length
  return variables.find(isUnusable)?.variable.text
}

function variablesIn(levels: readonly PatternLevel[]): { variable: Variable; first: boolean }[] {
  return levels.flatMap((level, i) => {
    if (!isTemplate(level)) return []
    return level.parts.flatMap((part, j) =>
      typeof part === 'string' ? [] : [{ variable: part, first: i === 0 && j === 0 }],
    )
  })
}

function meets(
  { rule, session, subscription }: Asked,
  captures: readonly CapturePlace[],
  levels: readonly string[],
): boolean {
  if (rule.rule.require.length === 0) return true
  if (subscription) return requirementsHold(rule, captures, subscription, rule.isDeny)
  const textAt = (name: string) => {
    const place = captures.find((capture) => capture.name === name)
    return place && levels[place.level]
  }
  return session.meets(rule.rule.require, textAt, rule.isDeny)
}

/** One filled pattern against the name or filter of the request. */
function judgeFilled({ levels, captures }: FilledPattern, dollar: boolean, asked: Asked): MatcherStep {
  const { rule, request, subscription } = asked
  const pattern = filterText(levels)
  if (!subscription) {
    const name = request.topic.split('/')
    if (!covers(levels, name, dollar)) return step(false, 'topic', pattern)
    return meets(asked, captures, name) ? step(true, 'matched', pattern) : step(false, 'require', pattern)
  }
  const { filter } = subscription
  const unsubscribes = request.action === 'unsubscribe'
  if (rule.isDeny && !unsubscribes) {
    if (!overlaps(levels, filter, dollar)) return step(false, 'topic', pattern)
    if (!meets(asked, captures, [])) return step(false, 'require', pattern)
    return step(true, 'matched', pattern, covers(levels, filter, dollar) ? null : commonName(levels, filter))
  }
  if (!covers(levels, filter, dollar))
    return step(false, 'topic', pattern, uncoveredName(levels, filter, dollar) ?? null)
  if (unsubscribes) return step(true, 'matched', pattern)
  const isBound = captures.every(({ level }) => typeof filter[level] === 'string')
  return isBound && meets(asked, captures, []) ? step(true, 'matched', pattern) : step(false, 'require', pattern)
}

function fill(levels: readonly PatternLevel[], { rule, session }: Asked): readonly FilledPattern[] {
  return fillLevels(levels, rule.isDeny, ({ parts }, at) =>
    renderTexts(parts, session.identity, { startsPattern: at === 0, strict: rule.isDeny }),
  )
}

function explainFilter(levels: readonly PatternLevel[], dollar: boolean, text: string, asked: Asked): MatcherStep {
  const filled = fill(levels, asked)
  if (filled.length === 0) return step(false, `unresolved:${unresolved(variablesIn(levels), asked)}`, text)
  const steps = filled.map((one) => judgeFilled(one, dollar, asked))
  return steps.find(({ applies }) => applies) ?? (steps[0] as MatcherStep)
}

/** Compares the text of the filter, level by level. */
function explainEq(matcher: EqMatcher, asked: Asked): MatcherStep {
  const { rule, request, subscription } = asked
  if (!subscription) {
    if (request.action !== 'receive' || rule.isDeny) return step(false, 'action', matcher.text)
    const spelled = spelledFilter(matcher.levels)
    if (!spelled) return step(false, 'topic', matcher.text)
    return explainFilter(spelled, false, matcher.text, asked)
  }
  const filled = fill(matcher.levels, asked)
  if (filled.length === 0)
    return step(false, `unresolved:${unresolved(variablesIn(matcher.levels), asked)}`, matcher.text)
  const equal = filled.filter(({ levels }) => equalsText(levels, subscription.text, rule.isDeny))
  if (equal.length === 0) return step(false, 'topic', matcher.text)
  const holds = request.action === 'unsubscribe' || equal.some(({ captures }) => meets(asked, captures, []))
  return holds ? step(true, 'matched', matcher.text) : step(false, 'require', matcher.text)
}

function explainRegex(matcher: RegexMatcher, asked: Asked): MatcherStep {
  const { rule, request, session, subscription } = asked
  const { text, dollar } = matcher
  const regexes = session.fillRegex(matcher, rule.isDeny)
  const first = typeof matcher.parts[0] === 'object'
  const missing = unresolved(
    matcher.variables.map((variable, i) => ({ variable, first: first && i === 0 })),
    asked,
  )
  if (regexes.length === 0) return step(false, `unresolved:${missing ?? text}`, text)
  const matches = (topic: string) =>
    (dollar || !topic.startsWith('$')) && regexes.some((one) => one.matches(topic, rule.isDeny, asked.effort))
  if (!subscription) return matches(request.topic) ? step(true, 'matched', text) : step(false, 'topic', text)
  if (matcher.subscribe === 'text' || request.action === 'unsubscribe')
    return matches(subscription.text) ? step(true, 'matched', text) : step(false, 'topic', text)
  const filter: Levels = canonical(subscription.filter)
  const how = { exact: !subscription.delivery, dollar, effort: asked.effort }
  for (const regex of regexes) {
    if (rule.isDeny) {
      if (regexOverlapsFilter(regex, filter, how) !== false)
        return step(true, 'matched', text, overlapWitness(regex, filter, how) ?? null)
    } else if (regexCoversFilter(regex, filter, how) === true) return step(true, 'matched', text)
  }
  const [regex] = regexes
  const example = regex && !rule.isDeny ? coverCounterExample(regex, filter, how) : undefined
  return step(false, 'topic', text, example ?? null)
}

function explainFilterMatcher({ levels, dollar, text }: FilterMatcher, asked: Asked): MatcherStep {
  return explainFilter(levels, dollar, text, asked)
}

/** Judges one pattern of a rule whose other conditions hold, the slow way, and says what was seen. */
export function explainMatcher(
  matcher: Matcher,
  rule: CompiledRule,
  request: AccessRequest,
  session: Session,
  subscription: Subscription | null,
  effort: Effort,
): MatcherStep {
  const asked = { rule, request, session, subscription, effort }
  if (matcher.kind === 'filter') return explainFilterMatcher(matcher, asked)
  return matcher.kind === 'eq' ? explainEq(matcher, asked) : explainRegex(matcher, asked)
}
