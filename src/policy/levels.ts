/** `+`: any one level. */
export const ANY = 1
/** `#`: the rest, none included. Only ever the last level. */
export const REST = 2

/** One level of a filter: its text, or a wildcard. Numbers stand for the wildcards, so that no text can pass for one. */
export type Level = string | typeof ANY | typeof REST

export type Levels = readonly Level[]

/** Takes a filter without share prefix and without captures apart. Validate before. */
export function levelsOf(filter: string): Level[] {
  const levels: Level[] = filter.split('/')
  for (let i = 0; i < levels.length; i++) {
    if (levels[i] === '+') levels[i] = ANY
    else if (levels[i] === '#') levels[i] = REST
  }
  return levels
}

/** Writes levels as a filter. */
export function filterText(levels: Levels): string {
  return levels.map((level) => (level === ANY ? '+' : level === REST ? '#' : level)).join('/')
}

/** The one form of filters that match the same names: `+/#` is `#`, and `/#` is `/+/#` because no name is empty. */
export function canonical(levels: Levels): Levels {
  if (levels.length !== 2 || levels[1] !== REST) return levels
  if (levels[0] === ANY) return [REST]
  return levels[0] === '' ? ['', ANY, REST] : levels
}

export function startsWild(levels: Levels): boolean {
  return typeof levels[0] === 'number'
}

/** Whether the first level is a text that begins with `$`: such names are out of reach of wildcards in the first level. */
export function startsWithDollar(levels: Levels): boolean {
  const first = levels[0]
  return typeof first === 'string' && first.charCodeAt(0) === 0x24
}

/**
 * Reports whether every topic name that `filter` matches is matched by `pattern` too: what an allow needs. `dollar`: whether
 * a wildcard in the first level of the pattern also stands for names that begin with `$`. Both in canonical form.
 */
export function covers(pattern: Levels, filter: Levels, dollar: boolean): boolean {
  if (!dollar && startsWild(pattern) && startsWithDollar(filter)) return false
  for (let i = 0; i < pattern.length; i++) {
    const level = pattern[i]
    if (level === REST) return true
    if (i >= filter.length || filter[i] === REST) return false
    if (level !== ANY && level !== filter[i]) return false
  }
  return pattern.length === filter.length
}

/** Reports whether some topic name is matched by both: what a deny needs. Both in canonical form. */
export function overlaps(pattern: Levels, filter: Levels, dollar: boolean): boolean {
  if (!dollar && startsWild(pattern) && startsWithDollar(filter)) return false
  if (startsWild(filter) && startsWithDollar(pattern)) return false
  for (let i = 0; i < pattern.length || i < filter.length; i++) {
    const [a, b] = [pattern[i], filter[i]]
    if (a === REST || b === REST) return true
    if (a === undefined || b === undefined) return false
    if (a !== ANY && b !== ANY && a !== b) return false
  }
  return true
}

/** The filter of the names that both match. Only for filters that overlap; the result is in canonical form. */
export function intersect(a: Levels, b: Levels): Levels {
  const common: Level[] = []
  for (let i = 0; ; i++) {
    const [left, right] = [a[i], b[i]]
    if (left === REST) return canonical(common.concat(b.slice(i)))
    if (right === REST) return canonical(common.concat(a.slice(i)))
    if (left === undefined || right === undefined) return canonical(common)
    common.push(typeof left === 'string' ? left : right)
  }
}
