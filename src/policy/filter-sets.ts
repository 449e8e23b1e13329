import { parseSubscriptionFilter } from './topic-filter.ts'

export interface DollarRule {
  /** Whether a wildcard in the first level of the pattern also stands for names that begin with `$`. */
  readonly dollar?: boolean
}

/** Levels of the canonical form: `+/#` and `#` are one set of names, and so are `/#` and `/+/#`. */
function canonicalLevels(filter: string): readonly string[] {
  const { filter: inner } = parseSubscriptionFilter(filter)
  if (inner === '+/#') return ['#']
  if (inner === '/#') return ['', '+', '#']
  return inner.split('/')
}

function isWild(level: string | undefined): boolean {
  return level === '+' || level === '#'
}

/**
 * Reports whether every topic name that `filter` can match is matched by `pattern` too: what an allow needs. Both may
 * carry a share prefix, which is left out of the comparison. Validate both first.
 */
export function filterCovers(pattern: string, filter: string, { dollar = false }: DollarRule = {}): boolean {
  const wanted = canonicalLevels(pattern)
  const actual = canonicalLevels(filter)
  if (isWild(wanted[0]) && actual[0]?.startsWith('$') === true && !dollar) return false
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true
    if (i >= actual.length || actual[i] === '#') return false
    if (level !== '+' && level !== actual[i]) return false
  }
  return wanted.length === actual.length
}

/**
 * Reports whether some topic name is matched by both: what a deny needs, and what keeps two subscribers apart. Both may
 * carry a share prefix. Validate both first.
 */
export function filtersOverlap(pattern: string, filter: string, { dollar = false }: DollarRule = {}): boolean {
  const a = canonicalLevels(pattern)
  const b = canonicalLevels(filter)
  if (isWild(a[0]) && b[0]?.startsWith('$') === true && !dollar) return false
  if (isWild(b[0]) && a[0]?.startsWith('$') === true) return false
  for (let i = 0; i < a.length || i < b.length; i++) {
    if (a[i] === '#' || b[i] === '#') return true
    if (i >= a.length || i >= b.length) return false
    if (a[i] !== '+' && b[i] !== '+' && a[i] !== b[i]) return false
  }
  return true
}
