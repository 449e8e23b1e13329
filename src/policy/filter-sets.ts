import { canonical, covers, type Levels, levelsOf, overlaps } from './levels.ts'
import { parseSubscriptionFilter } from './topic-filter.ts'

export interface DollarRule {
  /** Whether a wildcard in the first level of the pattern also stands for names that begin with `$`. */
  readonly dollar?: boolean
}

function namesOf(filter: string): Levels {
  return canonical(levelsOf(parseSubscriptionFilter(filter).filter))
}

/**
 * Reports whether every topic name that `filter` can match is matched by `pattern` too: what an allow needs. Both may
 * carry a share prefix, which is left out of the comparison. Validate both first.
 */
export function filterCovers(pattern: string, filter: string, { dollar = false }: DollarRule = {}): boolean {
  return covers(namesOf(pattern), namesOf(filter), dollar)
}

/**
 * Reports whether some topic name is matched by both: what a deny needs, and what keeps two subscribers apart. Both may
 * carry a share prefix. Validate both first.
 */
export function filtersOverlap(pattern: string, filter: string, { dollar = false }: DollarRule = {}): boolean {
  return overlaps(namesOf(pattern), namesOf(filter), dollar)
}
