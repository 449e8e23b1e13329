import { RE2JS, RE2JSException, RE2JSSyntaxException } from 're2js'
import { patternSize } from './pattern-size.ts'
import { patternWork } from './pattern-work.ts'
import { quote } from './problems.ts'
import { Searcher, type WorkBudget } from './searcher.ts'

/** Characters of one pattern. */
export const MAX_PATTERN_LENGTH = 1_024
/** Instructions of one pattern, once its counted repetitions are written out. */
const MAX_PATTERN_SIZE = 4_000
/** Parses that are spent on telling where a pattern goes wrong. */
const MAX_PROBES = 8

function syntaxError(pattern: string): RE2JSSyntaxException | undefined {
  try {
    RE2JS.compile(pattern)
    return undefined
  } catch (err) {
    if (err instanceof RE2JSSyntaxException) return err
    if (err instanceof RE2JSException) return new RE2JSSyntaxException(err.message)
    throw err
  }
}

/**
 * Index at which the engine stopped. It names the piece it stumbled on, not where that stands: it is the first place
 * where the pattern, cut behind the piece, fails the same way.
 */
function errorIndex(pattern: string, err: RE2JSSyntaxException): number {
  const piece = err.getPattern()
  if (piece === null) return pattern.length - 1
  const lone = patternSize(pattern).loneParenthesis
  if (piece === pattern && lone !== -1) return lone
  let at = pattern.indexOf(piece)
  for (let probes = 0; at !== -1 && probes < MAX_PROBES; probes++) {
    const cut = syntaxError(pattern.slice(0, at + piece.length))
    if (cut?.getDescription() === err.getDescription() && cut.getPattern() === piece) return at
    at = pattern.indexOf(piece, at + 1)
  }
  return Math.max(0, pattern.lastIndexOf(piece))
}

/** Says why a text is no RE2 pattern, with the index where; `undefined` when it is one. */
export function patternProblem(pattern: string): string | undefined {
  if (patternSize(pattern).size > MAX_PATTERN_SIZE)
    return `repeats too much: written out it has more than ${MAX_PATTERN_SIZE} parts`
  const err = syntaxError(pattern)
  if (!err) return undefined
  const piece = err.getPattern()
  const where = piece === null || piece === pattern ? '' : ` ${quote(piece)}`
  return `is not RE2 syntax: ${err.getDescription()}${where} at index ${errorIndex(pattern, err)}`
}

const TOO_MUCH =
  'needs too many states, or too long to read, alone or with the patterns before it: write * in place of {…} where you can'

/**
 * Makes the searcher of one pattern, all its states included, so that no text can make it slow; or says why not. The
 * budget is shared by the patterns of a document.
 */
export function compilePattern(pattern: string, budget: WorkBudget): { searcher: Searcher } | { problem: string } {
  const work = patternWork(pattern)
  budget.left -= work
  if (budget.left < 0) return { problem: TOO_MUCH }
  const problem = patternProblem(pattern)
  if (problem !== undefined) {
    budget.left -= MAX_PROBES * work
    return { problem }
  }
  const searcher = new Searcher([pattern])
  return searcher.finish(budget) ? { searcher } : { problem: TOO_MUCH }
}
