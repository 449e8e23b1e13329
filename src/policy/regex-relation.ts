import type { Levels } from './levels.ts'
import type { TopicRegex } from './regex/compile-regex.ts'
import { type LanguageOptions, regexCoversFilter, regexOverlapsFilter } from './regex/language.ts'

/** Filters that are remembered for one regex; a client's filters are few, and comparing costs up to milliseconds. */
const MAX_REMEMBERED = 256

interface Relation {
  covers?: boolean
  overlaps?: boolean
}

/** By filter, one map for each way of comparing. */
const relations = new WeakMap<TopicRegex, readonly Map<string, Relation>[]>()

function relationOf(regex: TopicRegex, text: string, { exact, dollar }: LanguageOptions): Relation {
  let maps = relations.get(regex)
  if (!maps) {
    maps = [new Map(), new Map(), new Map(), new Map()]
    relations.set(regex, maps)
  }
  const known = maps[(exact ? 2 : 0) + (dollar ? 1 : 0)] as Map<string, Relation>
  let relation = known.get(text)
  if (!relation) {
    if (known.size >= MAX_REMEMBERED) known.clear()
    relation = {}
    known.set(text, relation)
  }
  return relation
}

/**
 * `regexCoversFilter`, remembered; `text` is the filter as text. False where it cannot be said: an allow does not match. What
 * could not be said because the effort was used up is asked again another time.
 */
export function regexCovers(regex: TopicRegex, filter: Levels, text: string, options: LanguageOptions): boolean {
  const relation = relationOf(regex, text, options)
  if (relation.covers !== undefined) return relation.covers
  const covers = regexCoversFilter(regex, filter, options)
  if (covers !== undefined || !isUsedUp(options)) relation.covers = covers === true
  return covers === true
}

/** `regexOverlapsFilter`, remembered. True where it cannot be said: a deny matches. */
export function regexOverlaps(regex: TopicRegex, filter: Levels, text: string, options: LanguageOptions): boolean {
  const relation = relationOf(regex, text, options)
  if (relation.overlaps !== undefined) return relation.overlaps
  const overlaps = regexOverlapsFilter(regex, filter, options)
  if (overlaps !== undefined || !isUsedUp(options)) relation.overlaps = overlaps !== false
  return overlaps !== false
}

function isUsedUp({ effort }: LanguageOptions): boolean {
  return effort !== undefined && effort.left <= 0
}
