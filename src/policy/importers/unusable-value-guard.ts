import type { RuleDocument, WhenDocument } from '../document.ts'
import { literalText, type PatternPiece } from './foreign-filter.ts'

/**
 * A deny whose variable has an unusable value takes any one level there. A source that puts such a value in as it is denies
 * below that level too: this is the rule that does so for values in which the regex `unusable` is found.
 *
 * @returns `undefined` for a pattern without variables
 */
export function unusableValueGuard(
  pieces: readonly PatternPiece[],
  unusable: string,
): Pick<RuleDocument, 'effect' | 'when' | 'topics'> | undefined {
  const first = pieces.findIndex((piece) => typeof piece === 'object')
  if (first === -1) return undefined
  const before = pieces
    .slice(0, first)
    .filter((piece) => typeof piece === 'string')
    .join('')
  const above = before.slice(0, before.lastIndexOf('/') + 1)
  const names = pieces.flatMap((piece) => (typeof piece === 'object' && 'variable' in piece ? [piece.variable] : []))
  const conditions: WhenDocument[] = [...new Set(names)].map((name) => ({
    [name]: { regex: unusable, mode: 'search' },
  }))
  return {
    effect: 'deny',
    when: { anyOf: conditions },
    topics: [{ filter: `${literalText(above)}#`, dollar: true }],
  }
}
