import { ANY, canonical, covers, intersect, type Levels, REST } from './levels.ts'

/** A level text that none of the patterns has, so that only wildcards take it. */
function freshLevel(...patterns: readonly Levels[]): string {
  const taken = new Set<unknown>(patterns.flat())
  let text = 'x'
  while (taken.has(text)) text += 'x'
  return text
}

/** The names that a filter matches with a fresh text for each `+` and 0 to `most` fresh levels for `#`. */
function* freshNames(filter: Levels, fresh: string, most: number): Generator<string[]> {
  const base = filter.filter((level) => level !== REST).map((level) => (level === ANY ? fresh : (level as string)))
  const isOpen = filter.at(-1) === REST
  for (let more = 0; more <= (isOpen ? most : 0); more++) {
    const name = [...base, ...Array<string>(more).fill(fresh)]
    if (name.join('/') !== '') yield name
  }
}

/** A name that the filter matches and the pattern does not; `undefined` when the pattern covers the filter. */
export function uncoveredName(pattern: Levels, filter: Levels, dollar: boolean): string | undefined {
  const [wanted, asked] = [canonical(pattern), canonical(filter)]
  for (const name of freshNames(asked, freshLevel(wanted, asked), wanted.length + 1))
    if (!covers(wanted, name, dollar)) return name.join('/')
  return undefined
}

/** A name that both match, short and with as few invented levels as can be. Only for filters that overlap. */
export function commonName(pattern: Levels, filter: Levels): string {
  const common = intersect(canonical(pattern), canonical(filter))
  for (const name of freshNames(common, freshLevel(common), 1)) return name.join('/')
  throw new TypeError('the filters have no name in common')
}
