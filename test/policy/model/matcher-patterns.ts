import type { Identity } from '#src/policy/identity.ts'
import { type Capture, canonicalLevels, type FilterPattern, isWild, patternCovers } from './filter-levels.ts'
import type { Part, PatternLevel } from './pattern.ts'
import { type RegexLanguage, regexLanguage } from './regex-language.ts'
import { type FilledPattern, fillPattern, fillRegex } from './resolve.ts'

type Effect = 'allow' | 'deny'

/** A matcher as a rule states it. */
export type ReferenceMatcher =
  | { readonly kind: 'filter' | 'eq'; readonly pattern: readonly PatternLevel[]; readonly dollar: boolean }
  | { readonly kind: 'regex'; readonly parts: readonly Part[]; readonly isText: boolean; readonly dollar: boolean }

/** A matcher for one identity. */
export type MatcherPattern =
  | ({ readonly kind: 'filter' } & FilterPattern)
  | {
      readonly kind: 'eq'
      readonly levels: FilledPattern['levels']
      readonly captures: readonly Capture[]
      /** The filter that it spells, which it acts as on delivery. */
      readonly spelled: FilterPattern
    }
  | {
      readonly kind: 'regex'
      readonly captures: readonly Capture[]
      readonly language: RegexLanguage
      readonly isText: boolean
      readonly dollar: boolean
    }

/** A topic name, or a filter without its share prefix. */
export interface TopicText {
  readonly text: string
  readonly levels: readonly string[]
  readonly canonical: readonly string[]
}

export function topicText(text: string): TopicText {
  const levels = text.split('/')
  return { text, levels, canonical: canonicalLevels(levels) }
}

function filterPattern({ levels, captures }: FilledPattern, dollar: boolean): FilterPattern {
  const plain = levels.map((level) => level ?? '+')
  return { levels: plain, canonical: canonicalLevels(plain), captures, dollar }
}

export function hasVariables(matcher: ReferenceMatcher): boolean {
  const parts = matcher.kind === 'regex' ? matcher.parts : matcher.pattern.flatMap((level) => level.parts)
  return parts.some((part) => typeof part !== 'string')
}

/** Fills in the variables: one pattern for each usable value. */
export function fillMatcher(matcher: ReferenceMatcher, identity: Identity, effect: Effect): readonly MatcherPattern[] {
  const { kind, dollar } = matcher
  if (kind === 'regex') {
    const sources = fillRegex(matcher.parts, identity, effect)
    const { isText } = matcher
    return sources.map((source) => ({ kind, captures: [], language: regexLanguage(source), isText, dollar }))
  }
  return fillPattern(matcher.pattern, identity, effect).map((filled) =>
    kind === 'filter'
      ? { kind, ...filterPattern(filled, dollar) }
      : { kind, ...filled, spelled: filterPattern(filled, false) },
  )
}

/** Compares the text of a filter with an eq. Its captures take a wildcard only in a deny. */
export function eqMatches(pattern: MatcherPattern & { kind: 'eq' }, filter: TopicText, effect: Effect): boolean {
  const { levels, captures } = pattern
  return (
    levels.length === filter.levels.length &&
    levels.every((level, i) => {
      if (level === null) return true
      if (captures.some(({ index }) => index === i)) return effect === 'deny' || !isWild(filter.levels[i])
      return level === filter.levels[i]
    })
  )
}

/** Full match on a text, which may begin with `$` only where the pattern says so. */
export function regexMatches({ language, dollar }: MatcherPattern & { kind: 'regex' }, text: string): boolean {
  return (dollar || !text.startsWith('$')) && language.matches(text)
}

/** Whether a pattern matches a name: of a publish or Will, or of a delivery. */
export function matchesName(pattern: MatcherPattern, name: TopicText, effect: Effect, isDelivery: boolean): boolean {
  switch (pattern.kind) {
    case 'filter':
      return patternCovers(pattern, name.canonical)
    case 'eq':
      return isDelivery && effect === 'allow' && patternCovers(pattern.spelled, name.canonical)
    case 'regex':
      return regexMatches(pattern, name.text)
  }
}
