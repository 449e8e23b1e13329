import { parseRegex, type RegexOptions } from './parse-regex.ts'
import type { RegexPart, RegexProblem } from './pattern-cursor.ts'
import { programSize } from './regex-node.ts'
import { topicPattern } from './topic-pattern.ts'

export type { RegexPart, RegexProblem }

/**
 * Says what is wrong with a pattern, before any engine sees it; `undefined` when nothing is. The parts are the text of the
 * pattern and the places of its variables.
 */
export function regexProblem(parts: readonly RegexPart[], options: RegexOptions = {}): RegexProblem | undefined {
  const parsed = parseRegex(parts, options)
  return 'message' in parsed ? parsed : undefined
}

/**
 * What `compileTextRegex` takes beyond the patterns of topics: `^` and `$` at the ends, `(?i)` at the start. Judging a text
 * cannot be cut short, because either answer may admit somebody, so that patterns are smaller.
 */
export const textRegexOptions: RegexOptions = { anchors: true, inlineCase: true, maxProgramSize: 2_000 }

/** Says what is wrong with a pattern that judges a value of the identity. */
export function textRegexProblem(pattern: string): RegexProblem | undefined {
  return regexProblem([pattern], textRegexOptions)
}

/**
 * The literal text with which every match starts, up to the first variable or whatever is no plain character; '' where an
 * alternation is outermost. `regexProblem` must have found nothing.
 */
export function literalPrefix(parts: readonly RegexPart[]): string {
  return topicPattern(parts).literalPrefix
}

/** Reports whether the pattern itself starts with a literal `$`: `\$`, `\Q$…\E`, `[$]` or `\x24`. */
export function startsWithDollar(parts: readonly RegexPart[]): boolean {
  return literalPrefix(parts).startsWith('$')
}

/** Instructions that a pattern compiles to, about. `regexProblem` must have found nothing. */
export function regexSize(parts: readonly RegexPart[]): number {
  return programSize(topicPattern(parts).node)
}
