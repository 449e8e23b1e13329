import type { Identity } from '#src/policy/identity.ts'
import type { Capture } from './filter-levels.ts'
import type { Part, PatternLevel } from './pattern.ts'
import { variableValue } from './value.ts'

type Effect = 'allow' | 'deny'

/** A pattern with its variables filled in. `null` is any one level: what is left of a deny's unusable variable. */
export interface FilledPattern {
  readonly levels: readonly (string | null)[]
  /** Captures; their levels hold `+`. */
  readonly captures: readonly Capture[]
}

/** Every way to fill in one level. A variable that is unusable in a deny takes the whole level. */
function fillLevel(
  parts: readonly Part[],
  identity: Identity,
  effect: Effect,
  isFirstLevel: boolean,
): readonly (string | null)[] {
  const values = parts.map((part, i) =>
    typeof part === 'string' ? [part] : variableValue(part, identity, effect, isFirstLevel && i === 0),
  )
  let texts = ['']
  for (const value of values) {
    if (value === 'any') return [null]
    texts = texts.flatMap((text) => value.map((piece) => text + piece))
  }
  return texts
}

/** Fills in the variables of a filter or eq: one pattern for each usable element of a list, none where a value is missing. */
export function fillPattern(
  pattern: readonly PatternLevel[],
  identity: Identity,
  effect: Effect,
): readonly FilledPattern[] {
  let filled: readonly FilledPattern[] = [{ levels: [], captures: [] }]
  for (const [i, { parts, capture }] of pattern.entries()) {
    if (capture !== null) {
      filled = filled.map(({ levels, captures }) => ({
        levels: [...levels, '+'],
        captures: [...captures, { name: capture, index: levels.length }],
      }))
      continue
    }
    const texts = fillLevel(parts, identity, effect, i === 0)
    filled = filled.flatMap(({ levels, captures }) =>
      texts.map((text) => ({ levels: [...levels, ...(text?.split('/') ?? [null])], captures })),
    )
  }
  return filled
}

const quoted = (text: string): string => text.replace(/[\\^$.|?*+()[\]{}&~-]/g, '\\$&')

/** Fills in the variables of a regex: their values are quoted; what is unusable in a deny is any one level. */
export function fillRegex(parts: readonly Part[], identity: Identity, effect: Effect): readonly string[] {
  let sources = ['']
  for (const [i, part] of parts.entries()) {
    const value = typeof part === 'string' ? [part] : variableValue(part, identity, effect, i === 0)
    const pieces = typeof part === 'string' ? [part] : value === 'any' ? ['[^/]*'] : value.map(quoted)
    sources = sources.flatMap((source) => pieces.map((piece) => source + piece))
  }
  return sources
}
