import { ANY, REST } from './levels.ts'
import { isJsonObject, kindOf, type Problems, quote, Reader } from './problems.ts'
import { type RegexPart, regexProblem, regexSize, startsWithDollar } from './regex/check-regex.ts'
import type { EqMatcher, FilterMatcher, Matcher, PatternLevel, RegexMatcher } from './rule.ts'
import { isCapture, isTemplate } from './rule.ts'
import { type Aliases, parseTemplate, type TemplatePart, type Variable } from './template.ts'

/** Characters of one pattern. */
export const MAX_PATTERN_LENGTH = 4_096
const MAX_LEVELS = 128
const MAX_MATCHERS = 200_000
const MAX_REGEXES = 2_000
/** Instructions of all regexes of a document together. */
export const MAX_REGEX_SIZE = 200_000
const MAX_TEMPLATES = 2_000
const CAPTURE = /^\+:([A-Za-z0-9_]+)$/
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** What a document may hold altogether, counted down while it is read. */
export interface DocumentBudget {
  matchers: number
  regexes: number
  /** Instructions that its regexes compile to. */
  regexSize: number
  readonly maxRegexSize: number
  /** Different levels with variables in them. */
  readonly templates: Set<string>
}

export function fullBudget(maxRegexSize: number): DocumentBudget {
  return { matchers: MAX_MATCHERS, regexes: MAX_REGEXES, regexSize: maxRegexSize, maxRegexSize, templates: new Set() }
}

export interface MatcherContext {
  readonly aliases: Aliases
  readonly isDeny: boolean
  readonly problems: Problems
  readonly budget: DocumentBudget
}

/** Cuts the parts of a pattern at its slashes: one list of parts a level. */
function cutIntoLevels(parts: readonly TemplatePart[]): TemplatePart[][] {
  const levels: TemplatePart[][] = [[]]
  for (const part of parts) {
    if (typeof part !== 'string') {
      levels.at(-1)?.push(part)
      continue
    }
    for (const [i, text] of part.split('/').entries()) {
      if (i > 0) levels.push([])
      if (text !== '') levels.at(-1)?.push(text)
    }
  }
  return levels
}

function writtenAs(parts: readonly TemplatePart[]): string {
  return parts
    .map((part) => (typeof part === 'string' ? part.replaceAll('${', () => '$${') : `\${${part.text}}`))
    .join('')
}

function parsePattern(
  text: string,
  path: string,
  { aliases, isDeny, problems }: MatcherContext,
): readonly TemplatePart[] | undefined {
  const refuse = (message: string) => problems.add(path, message)
  if (text === '') return refuse('a pattern is not empty')
  if (text.length > MAX_PATTERN_LENGTH) return refuse(`longer than ${MAX_PATTERN_LENGTH} characters`)
  if (!text.isWellFormed()) return refuse('not well-formed Unicode')
  const parts = parseTemplate(text, aliases)
  if (!Array.isArray(parts)) {
    const { message, position } = parts as Exclude<typeof parts, readonly TemplatePart[]>
    return refuse(`${message} (at character ${position + 1})`)
  }
  const variables = (parts as TemplatePart[]).filter((part) => typeof part !== 'string')
  if (variables.filter(({ each }) => each).length > 1) return refuse('at most one [] in a pattern')
  if (isDeny && variables.some(({ modifier }) => modifier === 'path'))
    return refuse('|path belongs to allow rules: a deny that cannot be rendered would have to refuse every topic')
  return parts
}

/** Reads one level of a filter; `+` and `#` are ordinary text where `literal`. */
function levelOf(parts: readonly TemplatePart[], literal: boolean): PatternLevel | { problem: string } {
  if (parts.some((part) => typeof part !== 'string')) {
    const texts = parts.filter((part) => typeof part === 'string')
    if (!literal && texts.some((text) => /[+#]/.test(text))) return { problem: 'a wildcard must be a whole level' }
    return { parts, text: writtenAs(parts) }
  }
  const [text = ''] = parts as string[]
  const capture = CAPTURE.exec(text)?.[1]
  if (capture !== undefined) return { capture }
  if (literal) return text
  if (text === '+') return ANY
  if (text === '#') return REST
  return /[+#]/.test(text) ? { problem: 'a wildcard must be a whole level; a capture is +:name' } : text
}

function levelsOfPattern(
  parts: readonly TemplatePart[],
  path: string,
  literal: boolean,
  { problems, budget }: MatcherContext,
): PatternLevel[] | undefined {
  const levels: PatternLevel[] = []
  const captures = new Set<string>()
  const cut = cutIntoLevels(parts)
  if (cut.length > MAX_LEVELS) return problems.add(path, `more than ${MAX_LEVELS} levels`)
  for (const [i, one] of cut.entries()) {
    const level = levelOf(one, literal)
    if (typeof level === 'object' && 'problem' in level) return problems.add(path, level.problem)
    if (level === REST && i < cut.length - 1) return problems.add(path, '# must be the last level')
    if (isTemplate(level)) {
      budget.templates.add(level.text)
      if (budget.templates.size > MAX_TEMPLATES)
        return problems.add(path, `more than ${MAX_TEMPLATES} different levels with variables in a policy`)
    }
    if (isCapture(level)) {
      if (captures.has(level.capture)) return problems.add(path, `captures ${quote(level.capture)} twice`)
      captures.add(level.capture)
    }
    levels.push(level)
  }
  return levels
}

function parseFilterMatcher(
  text: string,
  dollar: boolean,
  path: string,
  context: MatcherContext,
): FilterMatcher | undefined {
  if (CONTROL.test(text)) return context.problems.add(path, 'holds a control character, which no topic may')
  const parts = parsePattern(text, path, context)
  const levels = parts && levelsOfPattern(parts, path, false, context)
  return levels && { kind: 'filter', text, levels, dollar }
}

function parseEqMatcher(text: string, path: string, context: MatcherContext): EqMatcher | undefined {
  const parts = parsePattern(text, path, context)
  const levels = parts && levelsOfPattern(parts, path, true, context)
  return levels && { kind: 'eq', text, levels: levels as EqMatcher['levels'] }
}

function parseRegexMatcher(reader: Reader, context: MatcherContext): RegexMatcher | undefined {
  const text = reader.text('regex', MAX_PATTERN_LENGTH)
  const subscribe = reader.word('subscribe', ['semantic', 'text']) ?? 'semantic'
  const dollar = reader.boolean('dollar', context.isDeny)
  const path = reader.at('regex')
  const template = text === undefined ? undefined : parsePattern(text, path, context)
  if (text === undefined || !template) return undefined
  const variables: Variable[] = []
  const parts: RegexPart[] = template.map((part) =>
    typeof part === 'string' ? part : { hole: variables.push(part) - 1, width: part.text.length + 3 },
  )
  const { budget } = context
  if (--budget.regexes < 0) return reader.refuse('regex', `more than ${MAX_REGEXES} regexes in a policy`)
  const problem = budget.regexSize < 0 ? undefined : regexProblem(parts)
  if (problem) return reader.refuse('regex', `${problem.message} (at character ${problem.position + 1})`)
  if (budget.regexSize >= 0) budget.regexSize -= regexSize(parts)
  if (budget.regexSize < 0)
    return reader.refuse(
      'regex',
      `with the ones before it larger than all regexes of a policy may be (${budget.maxRegexSize} instructions)`,
    )
  return { kind: 'regex', text, parts, variables, subscribe, dollar: dollar || startsWithDollar(parts) }
}

/** Reads one entry of `topics`. */
export function parseMatcher(value: unknown, path: string, context: MatcherContext): Matcher | undefined {
  if (--context.budget.matchers < 0) return context.problems.add(path, `more than ${MAX_MATCHERS} topics in a policy`)
  if (typeof value === 'string') return parseFilterMatcher(value, context.isDeny, path, context)
  if (!isJsonObject(value)) return context.problems.add(path, `must be a filter or an object, is ${kindOf(value)}`)
  const reader = new Reader(value, path, context.problems)
  const kinds = ['filter', 'eq', 'regex'].filter((kind) => reader.has(kind))
  const [kind] = kinds
  if (kinds.length !== 1) return context.problems.add(path, 'must have exactly one of filter, eq, regex')
  if (kind === 'regex') {
    reader.refuseUnknown(['regex', 'subscribe', 'dollar'])
    return parseRegexMatcher(reader, context)
  }
  reader.refuseUnknown(kind === 'eq' ? ['eq'] : ['filter', 'dollar'])
  const text = reader.text(kind ?? '', MAX_PATTERN_LENGTH)
  if (text === undefined) return undefined
  if (kind === 'eq') return parseEqMatcher(text, reader.at('eq'), context)
  return parseFilterMatcher(text, reader.boolean('dollar', context.isDeny), reader.at('filter'), context)
}
