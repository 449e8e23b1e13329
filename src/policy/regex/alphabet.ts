import { type CharSet, includes, MAX_CODE_POINT } from './char-set.ts'

/**
 * Code points in classes that no set of a list tells apart. Whatever holds for one member of a class holds for all, so that
 * automata need one step for a class.
 */
export interface Alphabet {
  readonly size: number
  /** Class of each ASCII character. */
  readonly ascii: Uint16Array
  /** Ascending code points at which another class may begin, the first 0. */
  readonly starts: Int32Array
  /** Class from each start to the next. */
  readonly classes: Int32Array
  /** One member of each class, the most readable one. */
  readonly members: Int32Array
}

const ASCII_SIZE = 128
/** Where members are looked for first: letters, digits, what is visible in ASCII, then what is beyond its controls. */
const readable: readonly (readonly [first: number, last: number])[] = [
  [0x61, 0x7a],
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x21, 0x7e],
  [0xa1, MAX_CODE_POINT],
  [0, MAX_CODE_POINT],
]

/** How hard a code point is to read; lower comes first. */
export function readability(codePoint: number): number {
  return readable.findIndex(([first, last]) => codePoint >= first && codePoint <= last)
}

function boundaries(sets: readonly CharSet[]): Int32Array {
  const starts = new Set([0])
  for (const set of sets) {
    for (let i = 0; i < set.length; i += 2) starts.add(set[i] as number).add((set[i + 1] as number) + 1)
  }
  starts.delete(MAX_CODE_POINT + 1)
  return Int32Array.from(starts).sort()
}

/** Index of the last start that is not beyond `codePoint`. */
function indexAt(starts: Int32Array, codePoint: number): number {
  let low = 0
  let high = starts.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((starts[middle] as number) <= codePoint) low = middle
    else high = middle
  }
  return low
}

/** Splits classes by one set: whatever lies inside moves to a class of its own. */
function refine(classes: Int32Array, starts: Int32Array, set: CharSet, fresh: () => number): void {
  const moved = new Map<number, number>()
  for (let i = 0; i < set.length; i += 2) {
    const last = set[i + 1] as number
    for (let k = indexAt(starts, set[i] as number); k < starts.length && (starts[k] as number) <= last; k++) {
      const from = classes[k] as number
      let to = moved.get(from)
      if (to === undefined) {
        to = fresh()
        moved.set(from, to)
      }
      classes[k] = to
    }
  }
}

export function createAlphabet(sets: readonly CharSet[]): Alphabet {
  const distinct = [...new Set(sets)]
  const starts = boundaries(distinct)
  const classes = new Int32Array(starts.length)
  let next = 1
  for (const set of distinct) refine(classes, starts, set, () => next++)
  const members: number[] = []
  const numbers = new Map<number, number>()
  for (const [k, id] of classes.entries()) {
    let number = numbers.get(id)
    const member = mostReadable(starts[k] as number, (starts[k + 1] ?? MAX_CODE_POINT + 1) - 1)
    if (number === undefined) {
      number = members.push(member) - 1
      numbers.set(id, number)
    } else if (readability(member) < readability(members[number] as number)) members[number] = member
    classes[k] = number
  }
  const ascii = new Uint16Array(ASCII_SIZE)
  for (const [k, number] of classes.entries()) ascii.fill(number, starts[k], starts[k + 1] ?? ASCII_SIZE)
  return { size: members.length, ascii, starts, classes, members: Int32Array.from(members) }
}

function mostReadable(first: number, last: number): number {
  for (const [from, to] of readable) {
    if (Math.max(first, from) <= Math.min(last, to)) return Math.max(first, from)
  }
  return first
}

export function classOf({ ascii, starts, classes }: Alphabet, codePoint: number): number {
  return codePoint < ASCII_SIZE ? (ascii[codePoint] as number) : (classes[indexAt(starts, codePoint)] as number)
}

/** The members of a class all lie in `set`, or none of them does. */
export function isInSet({ members }: Alphabet, number: number, set: CharSet): boolean {
  return includes(set, members[number] as number)
}
