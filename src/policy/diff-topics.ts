import type { FilledPattern } from './compiled-rule.ts'
import { fillLevels } from './fill.ts'
import { type Identity, valueAt } from './identity.ts'
import { ANY, canonical, filterText, intersect, type Level, type Levels, levelsOf, overlaps, REST } from './levels.ts'
import { literalPrefix } from './regex/check-regex.ts'
import { compileTopicRegex } from './regex/compile-regex.ts'
import { overlapWitness } from './regex/language.ts'
import { renderTexts, variableTexts } from './render.ts'
import type { Matcher, PatternLevel, RegexMatcher, Rule } from './rule.ts'
import { isTemplate } from './rule.ts'

/** Alternatives of one pattern that are looked at. */
const MAX_ALTERNATIVES = 3
/** A level that no pattern has by chance. */
const FRESH = 'any-1'

/** A pattern of a rule, in either policy. */
export interface Pattern {
  readonly rule: Rule
  readonly matcher: Matcher
}

/** Topics to ask about: names, and filters to subscribe to. */
export interface Topics {
  readonly names: ReadonlySet<string>
  readonly filters: ReadonlySet<string>
}

/** The filters that a pattern comes to for an identity. A regex is taken as all that begins like it. */
export function filtersOf({ rule, matcher }: Pattern, identity: Identity): readonly FilledPattern[] {
  if (matcher.kind === 'regex') {
    const levels: Level[] = literalPrefix(matcher.parts).split('/').slice(0, -1)
    return [{ levels: canonical([...levels, REST]), captures: [] }]
  }
  const spelled = matcher.kind === 'eq' ? matcher.levels.map(spelledLevel) : matcher.levels
  const textsOf = (level: PatternLevel, at: number) =>
    isTemplate(level)
      ? renderTexts(level.parts, identity, { startsPattern: at === 0, strict: rule.effect === 'deny' })
      : undefined
  return fillLevels(spelled, rule.effect === 'deny', textsOf).slice(0, MAX_ALTERNATIVES)
}

function spelledLevel(level: PatternLevel): PatternLevel {
  return level === '+' ? ANY : level === '#' ? REST : level
}

/** A text for a captured level with which a requirement is met, where the identity has one. */
function capturedText({ require }: Rule, name: string, identity: Identity): string | undefined {
  for (const { path, templates } of require) {
    const elements = valueAt(identity, path)
    for (const template of templates) {
      const [before, capture, after] = [template[0], template.find((part) => typeof part === 'object'), template.at(-1)]
      if (typeof capture !== 'object' || capture.capture !== name || !Array.isArray(elements)) continue
      const start = typeof before === 'string' ? before : ''
      const end = typeof after === 'string' ? after : ''
      for (const element of elements) {
        if (typeof element !== 'string' || !element.startsWith(start) || !element.endsWith(end)) continue
        const text = element.slice(start.length, element.length - end.length)
        if (text !== '' && !/[/+#]/.test(text)) return text
      }
    }
  }
  return undefined
}

function namesIn(levels: Levels): string[] {
  const base = levels.filter((level) => level !== REST).map((level) => (level === ANY ? FRESH : String(level)))
  if (levels.at(-1) !== REST) return [base.join('/')]
  return [base, [...base, FRESH], [...base, FRESH, FRESH]]
    .filter(({ length }) => length > 0)
    .map((name) => name.join('/'))
}

/** Filters near a pattern: itself, and what is a little wider and a little narrower. */
function filtersNear(levels: Levels): string[] {
  const isOpen = levels.at(-1) === REST
  const fixed = isOpen ? levels.slice(0, -1) : levels
  const near: Levels[] = [levels, [...fixed, REST], [...fixed, ANY]]
  if (fixed.length > 1) near.push([...fixed.slice(0, -1), ANY], [...fixed.slice(0, -1), REST])
  return near.map(filterText)
}

function regexNames(matcher: RegexMatcher, isDeny: boolean, identity: Identity): string[] {
  const values = matcher.variables.map((variable) =>
    variableTexts(variable, identity, { first: false, strict: isDeny }),
  )
  if (values.some((texts) => texts?.[0] === undefined)) return []
  const regex = compileTopicRegex(
    matcher.parts,
    values.map((texts) => texts?.[0] ?? null),
  )
  const prefix: Level[] = literalPrefix(matcher.parts).split('/').slice(0, -1)
  const within: readonly Levels[] = [canonical([...prefix, REST]), canonical([...prefix, ANY, ANY, REST])]
  return within.flatMap((levels) => overlapWitness(regex, levels, { dollar: true }) ?? [])
}

/** The topics that show what a pattern does to an identity. */
export function topicsOf(pattern: Pattern, identity: Identity): Topics {
  const { rule, matcher } = pattern
  const names = new Set<string>()
  const filters = new Set<string>()
  for (const { levels, captures } of filtersOf(pattern, identity)) {
    const bound: Level[] = [...levels]
    for (const { name, level } of captures) bound[level] = capturedText(rule, name, identity) ?? FRESH
    for (const one of [bound, levels]) for (const name of namesIn(one)) names.add(name)
    for (const one of [bound, levels]) for (const filter of filtersNear(one)) filters.add(filter)
  }
  if (matcher.kind === 'regex')
    for (const name of regexNames(matcher, rule.effect === 'deny', identity)) names.add(name)
  if (matcher.kind === 'eq') filters.add(filterText(filtersOf(pattern, identity)[0]?.levels ?? levelsOf(matcher.text)))
  return { names, filters }
}

/** The topics that two patterns have in common for an identity. */
export function commonTopics(left: readonly FilledPattern[], right: readonly FilledPattern[]): Topics {
  const common = left.flatMap((a) =>
    right.flatMap((b) => (overlaps(a.levels, b.levels, true) ? [intersect(a.levels, b.levels)] : [])),
  )
  return { names: new Set(common.flatMap(namesIn)), filters: new Set(common.map(filterText)) }
}
