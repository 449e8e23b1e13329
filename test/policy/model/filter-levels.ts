/** A place in a filter whose text a rule may ask for as `${topic.name}`. */
export interface Capture {
  readonly name: string
  readonly index: number
}

/** A filter of a rule after substitution. A capture stands in `levels` as `+`. */
export interface FilterPattern {
  readonly levels: readonly string[]
  readonly canonical: readonly string[]
  readonly captures: readonly Capture[]
  readonly dollar: boolean
}

export const isWild = (level: string | undefined): boolean => level === '+' || level === '#'

/** `+/#` and `#` are one set of names, and so are `/#` and `/+/#`. */
export function canonicalLevels(levels: readonly string[]): readonly string[] {
  if (levels.length !== 2 || levels[1] !== '#') return levels
  if (levels[0] === '+') return ['#']
  return levels[0] === '' ? ['', '+', '#'] : levels
}

/** `L(f) ⊆ L(p)`, both canonical: the walk of section 5. */
export function coversLevels(p: readonly string[], f: readonly string[], dollar: boolean): boolean {
  if (!dollar && isWild(p[0]) && f[0]?.startsWith('$') === true) return false
  for (let i = 0; ; i++) {
    const wanted = p[i]
    if (wanted === '#') return true
    if (wanted === undefined) return i === f.length
    const actual = f[i]
    if (actual === undefined || actual === '#') return false
    if (wanted !== '+' && wanted !== actual) return false
  }
}

/** Whether an allow's pattern covers: every capture stands over a literal level. */
export function allowCovers(pattern: FilterPattern, filter: readonly string[]): boolean {
  if (pattern.captures.length === 0) return coversLevels(pattern.canonical, filter, pattern.dollar)
  if (!coversLevels(pattern.levels, filter, pattern.dollar)) return false
  return pattern.captures.every(({ index }) => !isWild(filter[index]))
}

/** Whether a pattern covers where captures count as `+`. */
export function patternCovers(pattern: FilterPattern, filter: readonly string[]): boolean {
  return coversLevels(pattern.canonical, filter, pattern.dollar)
}

/** `L(p) ∩ L(f) ≠ ∅`, captures as `+`. */
export function patternOverlaps({ canonical: p, dollar }: FilterPattern, f: readonly string[]): boolean {
  if (!dollar && isWild(p[0]) && f[0]?.startsWith('$') === true) return false
  if (isWild(f[0]) && p[0]?.startsWith('$') === true) return false
  for (let i = 0; ; i++) {
    const [a, b] = [p[i], f[i]]
    if (a === '#' || b === '#') return true
    if (a === undefined || b === undefined) return a === b
    if (a !== '+' && b !== '+' && a !== b) return false
  }
}

/** The names that both match, as a filter. Ask only where they overlap. */
export function intersectLevels(p: readonly string[], f: readonly string[]): readonly string[] {
  const both: string[] = []
  for (let i = 0; i < p.length || i < f.length; i++) {
    const [a, b] = [p[i], f[i]]
    if (a === '#') return canonicalLevels([...both, ...f.slice(i)])
    if (b === '#') return canonicalLevels([...both, ...p.slice(i)])
    both.push((a === '+' ? b : a) ?? '')
  }
  return canonicalLevels(both)
}
