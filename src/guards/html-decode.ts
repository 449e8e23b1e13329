import { type Decode, hexAt, indexOfUnit } from './text-arena.ts'

/** Named references that stand for ASCII, by their names in small letters (HTML Living Standard §13.5). */
const NAMED: readonly (readonly [name: string, character: string])[] = [
  ['amp', '&'],
  ['apos', "'"],
  ['ast', '*'],
  ['bsol', '\\'],
  ['colon', ':'],
  ['comma', ','],
  ['commat', '@'],
  ['dollar', '$'],
  ['equals', '='],
  ['excl', '!'],
  ['grave', '`'],
  ['gt', '>'],
  ['hat', '^'],
  ['lbrace', '{'],
  ['lbrack', '['],
  ['lcub', '{'],
  ['lowbar', '_'],
  ['lpar', '('],
  ['lsqb', '['],
  ['lt', '<'],
  ['nbsp', ' '],
  ['newline', '\n'],
  ['num', '#'],
  ['percnt', '%'],
  ['period', '.'],
  ['plus', '+'],
  ['quest', '?'],
  ['quot', '"'],
  ['rbrace', '}'],
  ['rbrack', ']'],
  ['rcub', '}'],
  ['rpar', ')'],
  ['rsqb', ']'],
  ['semi', ';'],
  ['sol', '/'],
  ['tab', '\t'],
  ['verbar', '|'],
  ['vert', '|'],
]

/** The five that browsers also take without a semicolon, and with letters right behind. */
const LEGACY = ['amp', 'gt', 'lt', 'nbsp', 'quot']

interface NamedReference {
  readonly letters: readonly number[]
  readonly codePoint: number
  readonly legacy: boolean
}

/** The names by their first letter, so that most of what follows a `&` is done with at once. */
const byFirstLetter = Map.groupBy(
  NAMED.map(
    ([name, character]): NamedReference => ({
      letters: name.split('').map((letter) => letter.charCodeAt(0)),
      codePoint: character.charCodeAt(0),
      legacy: LEGACY.includes(name),
    }),
  ),
  ({ letters }) => letters[0],
)

const AMPERSAND = 0x26
const HASH = 0x23
const SEMICOLON = 0x3b
const REPLACEMENT = 0xfffd
const TOO_LARGE = 0x110000

/** A reference: what it stands for, and the index behind it. */
interface Reference {
  readonly codePoint: number
  readonly end: number
}

function character(codePoint: number): number {
  const none = codePoint === 0 || codePoint >= TOO_LARGE || (codePoint >= 0xd800 && codePoint <= 0xdfff)
  return none ? REPLACEMENT : codePoint
}

/** A number between two indices, in hexadecimal or decimal digits; the semicolon may be missing. */
function numberedReference(units: Uint16Array, from: number, to: number): Reference | undefined {
  const base = ((units[from] as number) | 0x20) === 0x78 && from < to ? 16 : 10
  const start = base === 16 ? from + 1 : from
  let value = 0
  let at = start
  for (; at < to; at++) {
    const digit = hexAt(units, at, 1, to)
    if (digit === -1 || digit >= base) break
    value = Math.min(value * base + digit, TOO_LARGE)
  }
  if (at === start) return undefined
  return { codePoint: character(value), end: at < to && units[at] === SEMICOLON ? at + 1 : at }
}

function startsWith(units: Uint16Array, from: number, to: number, letters: readonly number[]): boolean {
  return from + letters.length <= to && letters.every((letter, i) => ((units[from + i] as number) | 0x20) === letter)
}

function namedReference(units: Uint16Array, from: number, to: number): Reference | undefined {
  const candidates = from < to ? byFirstLetter.get((units[from] as number) | 0x20) : undefined
  let legacy: Reference | undefined
  for (const one of candidates ?? []) {
    if (!startsWith(units, from, to, one.letters)) continue
    const end = from + one.letters.length
    if (end < to && units[end] === SEMICOLON) return { codePoint: one.codePoint, end: end + 1 }
    if (one.legacy) legacy = { codePoint: one.codePoint, end }
  }
  return legacy
}

/** Decodes numeric references and the named ones of ASCII once, as a browser reads text. */
export const htmlDecode: Decode = (arena, from, to) => {
  const { units } = arena
  let changed = false
  let copied = from
  for (let at = indexOfUnit(units, AMPERSAND, from, to); at < to; ) {
    const isNumber = units[at + 1] === HASH && at + 1 < to
    const reference = isNumber ? numberedReference(units, at + 2, to) : namedReference(units, at + 1, to)
    if (reference) {
      arena.copy(copied, at)
      arena.addCodePoint(reference.codePoint)
      copied = reference.end
      changed = true
    }
    at = indexOfUnit(units, AMPERSAND, reference?.end ?? at + 1, to)
  }
  if (changed) arena.copy(copied, to)
  return changed
}
