import { patternSize } from './pattern-size.ts'

/** Looks at an instruction that take as long as reading and building a part of a pattern does, a class, a set of `\p`. */
const PART = 30
const CLASS = 1_000
const UNICODE_SET = 30_000
/** Under `(?i)` every character of a class is folded, one by one. */
const FOLDED_CLASS = 70_000

const IGNORES_CASE = /\(\?[A-Za-z]*i/
/** What may stand for characters beyond ASCII, and many of them. */
const BEYOND_ASCII = /\\[pPx]|[^\0-\x7f]-/g
const NAMES_SET = /\\[pP]/

/** What it takes to read and build a pattern, before any state is made, in the unit of `WorkBudget`. */
export function patternWork(pattern: string): number {
  const wide = pattern.match(BEYOND_ASCII)?.length ?? 0
  return (
    PART * Math.max(pattern.length, patternSize(pattern).size) +
    (IGNORES_CASE.test(pattern) ? FOLDED_CLASS : CLASS) * wide +
    (NAMES_SET.test(pattern) ? UNICODE_SET : 0)
  )
}
