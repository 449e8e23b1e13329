import type { Levels } from './levels.ts'
import type { TopicRegex } from './regex/compile-regex.ts'
import { type LanguageOptions, regexCoversFilter, regexOverlapsFilter } from './regex/language.ts'

/** Filters that are remembered for one regex; a client's filters are few, and comparing costs up to milliseconds. */
const MAX_REMEMBERED = 256

interface Relation {
  covers?: boolean
  overlaps?: boolean
}

const relations = new WeakMap<TopicRegex, Map<string, Relation>>()

function relationOf(regex: TopicRegex, text: string, { exact, dollar }: LanguageOptions): Relation {
  let known = relations.get(regex)
  if (!known) {
    known = new Map()
    relations.set(regex, known)
  }
  const key = `${exact ? 'e' : '-'}${dollar ? '$' : '-'}${text}`
  let relation = known.get(key)
  if (!relation) {
    if (known.size >= MAX_REMEMBERED) known.clear()
    relation = {}
    known.set(key, relation)
  }
  return relation
}

/** `regexCoversFilter`, remembered; `text` is the filter as text. False where it cannot be said: an allow does not match. */
export function regexCovers(regex: TopicRegex, filter: Levels, text: string, options: LanguageOptions): boolean {
  const relation = relationOf(regex, text, options)
  relation.covers ??= regexCoversFilter(regex, filter, options) === true
  return relation.covers
}

/** `regexOverlapsFilter`, remembered. True where it cannot be said: a deny matches. */
export function regexOverlaps(regex: TopicRegex, filter: Levels, text: string, options: LanguageOptions): boolean {
  const relation = relationOf(regex, text, options)
  relation.overlaps ??= regexOverlapsFilter(regex, filter, options) !== false
  return relation.overlaps
}
