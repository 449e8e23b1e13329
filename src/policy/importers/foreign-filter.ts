import type { Effect, MatcherDocument } from '../document.ts'
import { quote } from '../problems.ts'
import { defaultSyntaxLimits, filterProblem, type TopicProblem } from '../topic-syntax.ts'
import type { ImportDraft } from './import-draft.ts'

/** A piece of a foreign pattern: text that stands for itself, a variable of ours, or a level that is captured. */
export type PatternPiece = string | { readonly variable: string } | { readonly capture: string }

const words: Partial<Record<TopicProblem, string>> = {
  empty: 'a pattern is not empty',
  'bad-hash': '# must be the last level; elsewhere the pattern matches nothing',
  'bad-plus': 'a wildcard must be a whole level',
  nul: 'holds NUL, which no topic may',
  'control-char': 'holds a control character, which no topic may',
  'ill-formed-utf': 'not well-formed Unicode',
  'too-many-levels': `more than ${defaultSyntaxLimits.maxTopicLevels} levels`,
}

/** Writes text so that it stands for itself in a pattern. */
export function literalText(text: string): string {
  return text.replaceAll('${', () => '$${') // a function, because $$ is a sign in a replacement
}

/** How a piece looks to the check of the syntax. */
function sampleOf(piece: PatternPiece): string {
  if (typeof piece === 'string') return piece
  return 'capture' in piece ? '+' : 'x'
}

function written(piece: PatternPiece): string {
  if (typeof piece === 'string') return literalText(piece)
  return 'capture' in piece ? `+:${piece.capture}` : `\${${piece.variable}}`
}

/** Says why a foreign pattern cannot be a filter; `undefined` when it can. */
export function foreignFilterProblem(pieces: readonly PatternPiece[]): string | undefined {
  const sample = pieces.map(sampleOf).join('')
  if (/^\$share(\/|$)/.test(sample))
    return 'a shared subscription is judged by the filter behind $share/<group>/; write that filter'
  const problem = filterProblem(sample, defaultSyntaxLimits)
  if (problem !== undefined) return words[problem] ?? problem
  const dollars = pieces.some(
    (piece, i) => typeof piece === 'string' && piece.endsWith('$') && typeof pieces[i + 1] === 'object',
  )
  return dollars ? 'a $ directly before a variable cannot be written here' : undefined
}

/** Writes a foreign pattern as a filter of ours; `undefined` with a problem where it is none. */
export function filterFrom(pieces: readonly PatternPiece[], path: string, draft: ImportDraft): string | undefined {
  const problem = foreignFilterProblem(pieces)
  if (problem === undefined) return pieces.map(written).join('')
  return draft.refuse(path, `${quote(pieces.map(sampleOf).join(''))}: ${problem}`)
}

/**
 * A filter by the rule of MQTT, in which a wildcard of the first level never stands for names that begin with `$`. A deny that
 * begins with a variable takes those too where the value is unusable, because it may begin with `$` itself.
 */
export function mqttMatcher(filter: string, effect: Effect): MatcherDocument {
  return effect === 'allow' ? filter : { filter, dollar: filter.startsWith('${') }
}
