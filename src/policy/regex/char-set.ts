/** Code points as ascending pairs `[first, last, first, last, …]`; two pairs neither overlap nor touch. */
export type CharSet = readonly number[]

export const MAX_CODE_POINT = 0x10ffff
const CASE_BIT = 0x20

/** Brings pairs in any order into the form of a `CharSet`. */
export function charSet(pairs: readonly number[]): CharSet {
  const sorted: [number, number][] = []
  for (let i = 0; i < pairs.length; i += 2) sorted.push([pairs[i] as number, pairs[i + 1] as number])
  sorted.sort(([a], [b]) => a - b)
  const set: number[] = []
  for (const [first, last] of sorted) {
    const end = set.at(-1)
    if (end === undefined || first > end + 1) set.push(first, last)
    else if (last > end) set[set.length - 1] = last
  }
  return set
}

/** Every code point that is not in `set`. */
export function negated(set: CharSet): CharSet {
  const others: number[] = []
  let next = 0
  for (let i = 0; i < set.length; i += 2) {
    const first = set[i] as number
    if (first > next) others.push(next, first - 1)
    next = (set[i + 1] as number) + 1
  }
  if (next <= MAX_CODE_POINT) others.push(next, MAX_CODE_POINT)
  return others
}

export function includes(set: CharSet, codePoint: number): boolean {
  let low = 0
  let high = set.length >> 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((set[middle * 2 + 1] as number) < codePoint) low = middle + 1
    else high = middle
  }
  const first = set[low * 2]
  return first !== undefined && first <= codePoint
}

/** The part of a range that lies between two letters, moved by the distance of the cases. */
function shifted(first: number, last: number, from: number, to: number, by: number): number[] {
  const [low, high] = [Math.max(first, from), Math.min(last, to)]
  return low <= high ? [low + by, high + by] : []
}

/** Adds the other case of the letters A-Z and a-z; as in Java, `(?i)` concerns no other letters. */
export function withBothCases(set: CharSet): CharSet {
  const pairs = [...set]
  for (let i = 0; i < set.length; i += 2) {
    const [first, last] = [set[i] as number, set[i + 1] as number]
    pairs.push(...shifted(first, last, 0x41, 0x5a, CASE_BIT), ...shifted(first, last, 0x61, 0x7a, -CASE_BIT))
  }
  return charSet(pairs)
}

export const anyCharacter: CharSet = [0, MAX_CODE_POINT]
/** What ends a line in Java, and what `.` therefore does not match. */
export const lineEnds: CharSet = [0x0a, 0x0a, 0x0d, 0x0d, 0x85, 0x85, 0x2028, 0x2029]
export const notLineEnds: CharSet = negated(lineEnds)
export const notSlash: CharSet = negated([0x2f, 0x2f])

const digits: CharSet = [0x30, 0x39]
const spaces: CharSet = [0x09, 0x0d, 0x20, 0x20]
const wordCharacters: CharSet = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]

/** The classes that one letter behind a backslash names: ASCII only, and U+000B is a space, as in Java. */
export const namedSets: ReadonlyMap<string, CharSet> = new Map([
  ['d', digits],
  ['D', negated(digits)],
  ['s', spaces],
  ['S', negated(spaces)],
  ['w', wordCharacters],
  ['W', negated(wordCharacters)],
])
