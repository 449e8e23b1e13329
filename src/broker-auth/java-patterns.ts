import type { FilledPattern } from '../policy/compiled-rule.ts'
import { fillLevels } from '../policy/fill.ts'
import type { Identity } from '../policy/identity.ts'
import { type Levels, REST } from '../policy/levels.ts'
import { notSlash } from '../policy/regex/char-set.ts'
import { literalPrefix } from '../policy/regex/check-regex.ts'
import { fillHoles, literal, type RegexNode } from '../policy/regex/regex-node.ts'
import { topicPattern } from '../policy/regex/topic-pattern.ts'
import { renderTexts, variableTexts } from '../policy/render.ts'
import type { Matcher, RegexMatcher } from '../policy/rule.ts'
import {
  type Characters,
  Costly,
  coveredFilters,
  expressionText,
  NO_CONTROLS,
  NO_WILDCARDS,
  NOT_DOLLAR,
  namesOf,
  overlappingFilters,
  SOME_WILDCARD,
  spelledText,
} from './java-regex.ts'

export type Direction = 'publish' | 'subscribe'

/** A matcher with its variables filled in, written for Java. */
export interface Pattern {
  readonly text: string
  /** A filter that all of it lies in; `null` where none is known. */
  readonly levels: Levels | null
  /** Levels of what it takes, at most. */
  readonly depth: number
}

/** The patterns of an allow, and what of it they do not say. */
export interface AllowPatterns {
  readonly patterns: readonly Pattern[]
  readonly lacks?: string
}

function fill(matcher: Exclude<Matcher, RegexMatcher>, identity: Identity, strict: boolean): readonly FilledPattern[] {
  return fillLevels(matcher.levels, strict, ({ parts }, at) =>
    renderTexts(parts, identity, { startsPattern: at === 0, strict }),
  )
}

const anyLevel: RegexNode = {
  kind: 'repeat',
  item: { kind: 'one', set: notSlash },
  min: 0,
  max: Number.POSITIVE_INFINITY,
}

/** A regex for each alternative of its variables. */
function fillRegex({ parts, variables }: RegexMatcher, identity: Identity, strict: boolean): readonly RegexNode[] {
  let fillings: (string | null)[][] = [[]]
  for (const [i, variable] of variables.entries()) {
    const first = typeof parts[0] === 'object' && parts[0].hole === i
    const texts = variableTexts(variable, identity, { first, strict }) ?? (strict ? [null] : [])
    fillings = fillings.flatMap((filling) => texts.map((text) => [...filling, text]))
  }
  const { node } = topicPattern(parts)
  return fillings.map((filling) =>
    fillHoles(node, (hole) => {
      const text = filling[hole] ?? null
      return text === null ? anyLevel : literal(text)
    }),
  )
}

const depthOf = (levels: Levels) => (levels.at(-1) === REST ? Number.POSITIVE_INFINITY : levels.length)

/** The filter of all names that begin with the whole levels of a regex's literal prefix. */
function aroundRegex({ parts }: RegexMatcher): Levels {
  return [...literalPrefix(parts).split('/').slice(0, -1), REST]
}

/** All names, or all filters, that do not begin with `$`. */
export function defaultPattern(direction: Direction, characters: Characters): Pattern {
  const text =
    direction === 'publish' ? namesOf([REST], false, characters) : coveredFilters([REST], false, [], characters)
  return { text, levels: [REST], depth: Number.POSITIVE_INFINITY }
}

function allowRegex(matcher: RegexMatcher, direction: Direction, identity: Identity, controls: boolean): AllowPatterns {
  const isSemantic = direction === 'subscribe' && matcher.subscribe === 'semantic'
  const start = (isSemantic ? NO_WILDCARDS : '') + (matcher.dollar ? '' : NOT_DOLLAR) + (controls ? '' : NO_CONTROLS)
  const levels = direction === 'subscribe' ? null : aroundRegex(matcher)
  const lacks = isSemantic ? { lacks: 'filters with wildcards under a regex' } : {}
  try {
    const patterns = fillRegex(matcher, identity, false).map((node) => ({
      text: start + expressionText(node),
      levels,
      depth: Number.POSITIVE_INFINITY,
    }))
    return { patterns, ...lacks }
  } catch (err) {
    if (err instanceof Costly) return { patterns: [], lacks: 'a regex that Java may take very long over' }
    throw err
  }
}

/** What an allow without further conditions allows. */
export function allowPatterns(
  matcher: Matcher,
  direction: Direction,
  identity: Identity,
  characters: Characters,
): AllowPatterns {
  if (matcher.kind === 'regex') return allowRegex(matcher, direction, identity, characters.controls)
  if (matcher.kind === 'eq') {
    const spelled = direction === 'publish' ? [] : fill(matcher, identity, false)
    return {
      patterns: spelled.map(({ levels }) => ({
        text: spelledText(levels, false),
        levels: null,
        depth: depthOf(levels),
      })),
    }
  }
  const { dollar } = matcher
  const patterns = fill(matcher, identity, false).map(({ levels, captures }): Pattern => {
    const literals = captures.map((capture) => capture.level)
    const text =
      direction === 'publish'
        ? namesOf(levels, dollar, characters)
        : coveredFilters(levels, dollar, literals, characters)
    return { text, levels, depth: depthOf(levels) }
  })
  return { patterns }
}

/** All characters: what refuses refuses names with control characters too. */
const anyCharacter: Characters = { controls: true }

function blockRegex(
  matcher: RegexMatcher,
  direction: Direction,
  identity: Identity,
  strict: boolean,
): readonly Pattern[] {
  const around = aroundRegex(matcher)
  const guard = matcher.dollar ? '' : NOT_DOLLAR
  const isText = direction === 'publish' || matcher.subscribe === 'text'
  const wholes = (): readonly string[] => {
    try {
      return fillRegex(matcher, identity, strict).map((node) => guard + expressionText(node))
    } catch (err) {
      if (err instanceof Costly) return [guard + namesOf(around, true, anyCharacter)]
      throw err
    }
  }
  const levels = direction === 'publish' ? around : null
  const texts = isText ? wholes() : wholes().map((text) => NO_WILDCARDS + text)
  const patterns = texts.map((text): Pattern => ({ text, levels, depth: Number.POSITIVE_INFINITY }))
  if (isText || patterns.length === 0) return patterns
  // Which wildcards meet the language of an expression cannot be said in another: all that come near are refused.
  const near = SOME_WILDCARD + guard + overlappingFilters(around, true)
  return [...patterns, { text: near, levels: around, depth: Number.POSITIVE_INFINITY }]
}

/**
 * What a deny refuses, and sometimes more: its conditions are taken to hold. With `strict` false the same for an allow that only
 * lets through what is changed.
 */
export function blockPatterns(
  matcher: Matcher,
  direction: Direction,
  strict: boolean,
  identity: Identity,
): readonly Pattern[] {
  if (matcher.kind === 'regex') return blockRegex(matcher, direction, identity, strict)
  if (matcher.kind === 'eq') {
    if (direction === 'publish') return []
    return fill(matcher, identity, strict).map(({ levels }) => ({
      text: spelledText(levels, true),
      levels: null,
      depth: depthOf(levels),
    }))
  }
  const { dollar } = matcher
  return fill(matcher, identity, strict).map(({ levels }) => ({
    text: direction === 'publish' ? namesOf(levels, dollar, anyCharacter) : overlappingFilters(levels, dollar),
    levels,
    depth: depthOf(levels),
  }))
}
