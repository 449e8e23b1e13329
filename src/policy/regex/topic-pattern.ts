import { type LazyAutomaton, sharedAutomaton } from './lazy-automaton.ts'
import { parseRegex } from './parse-regex.ts'
import type { RegexPart } from './pattern-cursor.ts'
import { either, type Head, holeCount, type RegexNode, splitHead } from './regex-node.ts'

/** A pattern for topics, read once and used by every session. */
export interface TopicPattern {
  readonly node: RegexNode
  readonly head: Head
  /** What follows the head, for all sessions; `undefined` where it holds variables. */
  readonly rest: LazyAutomaton | undefined
  /** Literal text that every match starts with, whatever the variables. */
  readonly literalPrefix: string
}

const known = new WeakMap<readonly RegexPart[], TopicPattern>()

/** Reads a pattern, once for each list of parts. `regexProblem` must have found nothing. */
export function topicPattern(parts: readonly RegexPart[]): TopicPattern {
  let pattern = known.get(parts)
  if (!pattern) {
    pattern = read(parts)
    known.set(parts, pattern)
  }
  return pattern
}

function read(parts: readonly RegexPart[]): TopicPattern {
  const alternatives = parseRegex(parts)
  if ('message' in alternatives) throw new TypeError(`a pattern that was not checked: ${alternatives.message}`)
  const node = either(alternatives.map((one) => one.node))
  const { head, rest } = splitHead(node)
  const firstHole = head.findIndex((one) => typeof one === 'number')
  const literals = firstHole === -1 ? head : head.slice(0, firstHole)
  return {
    node,
    head,
    rest: holeCount(rest) > 0 ? undefined : sharedAutomaton(rest),
    literalPrefix: literals.join(''),
  }
}
