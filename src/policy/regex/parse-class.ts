import { type CharSet, charSet, MAX_CODE_POINT, namedSets, negated, withBothCases } from './char-set.ts'
import { END, PatternCursor } from './pattern-cursor.ts'

const HEX = '0123456789abcdefABCDEF'
const whitespace: ReadonlyMap<string, number> = new Map([
  ['t', 0x09],
  ['n', 0x0a],
  ['f', 0x0c],
  ['r', 0x0d],
])

const ANCHOR = 'boundaries are not supported: a pattern is matched as a whole'
const JAVA_ONLY = 'not supported; list the characters in a class'
/** What is said about letters behind a backslash that other engines know. */
const refusedLetters: ReadonlyMap<string, string> = new Map([
  ...Array.from('bBAGzZ', (letter): [string, string] => [letter, ANCHOR]),
  ...Array.from('pPhHvVRXN', (letter): [string, string] => [letter, JAVA_ONLY]),
  ...Array.from('123456789k', (letter): [string, string] => [letter, 'back-references are not supported']),
  ['0', 'octal is not supported; write \\xHH'],
  ['c', 'control letters are not supported; write \\xHH'],
  ['Q', 'quoting is not supported inside a class; escape the characters one by one'],
  ['E', 'no \\Q stands before it'],
])

function isLetterOrDigit(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a)
}

function parseHex(cursor: PatternCursor, letter: string, at: number): number {
  const braced = letter === 'x' && cursor.takes('{')
  const length = letter === 'u' ? 4 : 2
  const digits = cursor.takeWhile(HEX, braced ? 6 : length)
  const complete = braced ? digits !== '' && cursor.takes('}') : digits.length === length
  if (!complete) throw cursor.refusal('write \\xHH, \\x{H…} (up to 6 digits) or \\uHHHH', at)
  const c = Number.parseInt(digits, 16)
  if (c > MAX_CODE_POINT) throw cursor.refusal('beyond U+10FFFF', at)
  if (c >= 0xd800 && c <= 0xdfff) throw cursor.refusal('half of a surrogate pair; write \\x{H…}', at)
  return c
}

/**
 * Reads what stands behind a backslash: a code point, or one of the classes `\d \w \s \D \W \S`. Taken are those that mean
 * the same in `java.util.regex`.
 */
export function parseEscape(cursor: PatternCursor): number | CharSet {
  const at = cursor.at - 1
  const c = cursor.next()
  if (c === END) throw cursor.refusal('nothing stands behind the backslash', at)
  if (PatternCursor.holeOf(c) !== undefined)
    throw cursor.refusal('a backslash before a variable: take it away, the value is quoted anyway', at)
  if (!isLetterOrDigit(c)) return c
  const letter = String.fromCodePoint(c)
  if (letter === 'x' || letter === 'u') return parseHex(cursor, letter, at)
  const known = namedSets.get(letter) ?? whitespace.get(letter)
  if (known !== undefined) return known
  throw cursor.refusal(`\\${letter}: ${refusedLetters.get(letter) ?? 'no such escape'}`, at)
}

function parseMember(cursor: PatternCursor, open: number): number | CharSet {
  const at = cursor.at
  const c = cursor.next()
  if (c === END) throw cursor.refusal('the class is not closed; write \\[ for the bracket itself', open)
  if (PatternCursor.holeOf(c) !== undefined) throw cursor.refusal('a variable cannot stand inside a class', at)
  if (c === 0x5c) return parseEscape(cursor)
  if (c === 0x5b) {
    const what = cursor.peek() === 0x3a ? 'POSIX classes such as [:alpha:]' : 'classes inside classes'
    throw cursor.refusal(`${what} are not supported; write \\[ for the bracket itself`, at)
  }
  if (c === 0x26 && cursor.peek() === 0x26)
    throw cursor.refusal('intersections (&&) are not supported; write \\& for the character itself', at)
  return c
}

/** Reads a class up to its `]`; the cursor stands behind the `[`. `ignoreCase` is applied before a leading `^`. */
export function parseClass(cursor: PatternCursor, ignoreCase: boolean): CharSet {
  const open = cursor.at - 1
  const isNegated = cursor.takes('^')
  const start = cursor.at
  if (cursor.looksAt(']')) throw cursor.refusal('the class is empty; write \\] for the bracket itself', cursor.at)
  const pairs: number[] = []
  /** Whether a hyphen comes next that is not the last character. */
  const isRange = () => cursor.looksAt('-') && !cursor.looksAt('-]')
  while (!cursor.takes(']')) {
    const at = cursor.at
    if (isRange() && at > start) throw cursor.refusal('write \\- for a hyphen between other characters', at)
    const first = parseMember(cursor, open)
    if (!isRange()) {
      pairs.push(...(typeof first === 'number' ? [first, first] : first))
      continue
    }
    cursor.takes('-')
    const last = parseMember(cursor, open)
    if (typeof first !== 'number' || typeof last !== 'number')
      throw cursor.refusal('a range goes from one character to another; write \\- for the hyphen itself', at)
    if (last < first) throw cursor.refusal('the range runs backwards', at)
    pairs.push(first, last)
  }
  const set = ignoreCase ? withBothCases(charSet(pairs)) : charSet(pairs)
  return isNegated ? negated(set) : set
}
