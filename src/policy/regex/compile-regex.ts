import { notSlash } from './char-set.ts'
import { textRegexOptions } from './check-regex.ts'
import { type Effort, fullEffort } from './effort.ts'
import { LazyAutomaton } from './lazy-automaton.ts'
import { parseRegex, searched } from './parse-regex.ts'
import type { RegexPart } from './pattern-cursor.ts'
import { either, fillHoles, type Head, literal, type RegexNode, splitHead } from './regex-node.ts'
import { topicPattern } from './topic-pattern.ts'

/** Instructions that may be visited to judge one name, see `Dfa.work`. Steps that are known already cost nothing. */
const MAX_WORK = 1_000_000

/** A pattern for topics with its variables filled in. */
export class TopicRegex {
  /** Literal text that every match starts with, values of variables included. */
  readonly prefix: string
  /** What every match goes on with. */
  readonly rest: LazyAutomaton
  /** Whether the pattern itself, variables aside, starts with a literal `$`. */
  readonly startsWithDollar: boolean

  constructor(prefix: string, rest: LazyAutomaton, startsWithDollar: boolean) {
    this.prefix = prefix
    this.rest = rest
    this.startsWithDollar = startsWithDollar
  }

  /**
   * Reports whether the whole of `name`, well-formed text, matches. Time is linear in the name; one that takes more than some
   * 10 ms, or more than is left of the effort, as only hostile names and patterns do, counts as `ifTooCostly`: false for an
   * allow, true for a deny.
   */
  matches(name: string, ifTooCostly: boolean, effort: Effort = fullEffort()): boolean {
    if (!name.startsWith(this.prefix)) return false
    const most = Math.min(MAX_WORK, effort.left)
    if (most <= 0) return ifTooCostly
    const before = this.rest.work
    const verdict = this.rest.matches(name, this.prefix.length, most)
    effort.left -= this.rest.work - before + (name.length >> 2)
    return verdict ?? ifTooCostly
  }

  /** Compiles now what would be compiled with the first match. */
  prepare(): void {
    this.rest.matches('', 0, MAX_WORK)
  }
}

const anyLevel: RegexNode = {
  kind: 'repeat',
  item: { kind: 'one', set: notSlash },
  min: 0,
  max: Number.POSITIVE_INFINITY,
}

function textFor(values: readonly (string | null)[], hole: number): string | null {
  const value = values[hole]
  if (value === undefined) throw new TypeError(`variable ${hole} has no value`)
  return value
}

/** The text of a head; `undefined` where a variable in it stands for any text. */
function textOf(head: Head, values: readonly (string | null)[]): string | undefined {
  let text = ''
  for (const one of head) {
    const part = typeof one === 'string' ? one : textFor(values, one)
    if (part === null) return undefined
    text += part
  }
  return text
}

/**
 * Fills values into the variables of a pattern: text in which nothing has a meaning, or `null` for any text of one level.
 * `regexProblem` must have found nothing. Compiling waits for the first use, and sessions share what does not depend on their
 * values.
 */
export function compileTopicRegex(parts: readonly RegexPart[], values: readonly (string | null)[]): TopicRegex {
  const pattern = topicPattern(parts)
  const isDollar = pattern.literalPrefix.startsWith('$')
  const text = textOf(pattern.head, values)
  if (text !== undefined && pattern.rest) return new TopicRegex(text, pattern.rest, isDollar)
  const filled = fillHoles(pattern.node, (hole) => {
    const value = textFor(values, hole)
    return value === null ? anyLevel : literal(value)
  })
  const { head, rest } = splitHead(filled)
  return new TopicRegex(head.join(''), new LazyAutomaton(rest), isDollar)
}

function textNode(pattern: string, mode: 'full' | 'search'): RegexNode {
  const alternatives = parseRegex([pattern], textRegexOptions)
  if ('message' in alternatives) throw new TypeError(`a pattern that was not checked: ${alternatives.message}`)
  return either(alternatives.map((one) => (mode === 'search' ? searched(one) : one.node)))
}

/**
 * Compiles a pattern that judges a value of the identity: `full` matches the whole text, `search` any part of it. `$` is the
 * very end of the text. `textRegexProblem` must have found nothing; compiling waits for the first use.
 */
export function compileTextRegex(pattern: string, mode: 'full' | 'search'): (text: string) => boolean {
  const automaton = new LazyAutomaton(textNode(pattern, mode))
  return (text) => automaton.matches(text, 0, Number.POSITIVE_INFINITY) === true
}

/** As `compileTextRegex`, for many patterns that share an effort; compiled at once, so that no text pays for it. */
export function compileTextPattern(pattern: string, mode: 'full' | 'search'): Pick<TopicRegex, 'matches'> {
  const compiled = new TopicRegex('', new LazyAutomaton(textNode(pattern, mode)), false)
  compiled.prepare()
  return compiled
}
