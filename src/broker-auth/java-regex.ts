import { ANY, type Levels, REST } from '../policy/levels.ts'
import { charSet, MAX_CODE_POINT, negated } from '../policy/regex/char-set.ts'
import type { RegexNode } from '../policy/regex/regex-node.ts'

/**
 * Writes patterns of policies as regular expressions that mean the same to `java.util.regex` and to ECMAScript with the flag `u`,
 * to be matched against a whole topic name or the whole text of a valid filter.
 */

/** The end of the text: `$` would also stand before a last line break in Java. */
const END = '(?![\\s\\S])'

export function quoted(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]|\p{Cc}/gu, (c) => (c < ' ' || c > '~' ? escaped(c.charCodeAt(0)) : `\\${c}`))
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}

/** What one level of a name or filter may hold: `characters` that may not, besides the slash. */
const level = (excluded: string, controls: boolean) => `[^/${excluded}${controls ? '\\u0000' : '\\p{Cc}'}]*`

/** Whether control characters other than NUL may stand in topics. */
export interface Characters {
  readonly controls: boolean
}

export const NOT_DOLLAR = '(?!\\$)'

/** Keeps the wildcard of a first level away from names that begin with `$`. */
function guard(levels: Levels, dollar: boolean): string {
  return typeof levels[0] === 'number' && !dollar ? NOT_DOLLAR : ''
}

/** Levels one behind the other; a `#` takes the level above it too. */
function written(levels: Levels, any: (i: number) => string, rest: string): string {
  return levels
    .map((one, i) => {
      if (one === REST) return i === 0 ? `${rest}+` : `(?:/${rest}*)?`
      return (i === 0 ? '' : '/') + (one === ANY ? any(i) : quoted(one))
    })
    .join('')
}

/** The names that a filter matches. */
export function namesOf(levels: Levels, dollar: boolean, { controls }: Characters): string {
  const rest = controls ? '[^\\u0000]' : '\\P{Cc}'
  return guard(levels, dollar) + written(levels, () => level('', controls), rest)
}

/** The filters that a filter covers; `literal` are the levels that stand for no wildcard of theirs, because they are captures. */
export function coveredFilters(
  levels: Levels,
  dollar: boolean,
  literal: readonly number[],
  { controls }: Characters,
): string {
  const one = level('+#', controls)
  const rest = controls ? '[^\\u0000]' : '\\P{Cc}'
  return guard(levels, dollar) + written(levels, (i) => (literal.includes(i) ? one : `(?:\\+|${one})`), rest)
}

/** The filters with which a filter has names in common, from one level on. */
function overlappingFrom(levels: Levels, i: number): string {
  const one = levels[i]
  if (one === REST) return '[\\s\\S]*'
  const next = levels[i + 1]
  const tail =
    next === undefined ? '(?:/#)?' : next === REST ? '(?:/[\\s\\S]*)?' : `/(?:${overlappingFrom(levels, i + 1)})`
  if (one === ANY) return `#|[^/]*${tail}`
  if (i === 0 && one?.startsWith('$')) return quoted(one) + tail // no wildcard in a first level stands for `$…`
  return `#|(?:\\+|${quoted(one ?? '')})${tail}`
}

/** The filters with which a filter has names in common. */
export function overlappingFilters(levels: Levels, dollar: boolean): string {
  return `${guard(levels, dollar)}(?:${overlappingFrom(levels, 0)})`
}

/** The one filter that an `eq` spells; `any`: levels that stand for whatever is no wildcard, or in a deny for anything. */
export function spelledText(levels: Levels, isDeny: boolean): string {
  return levels.map((one) => (typeof one === 'string' ? quoted(one) : isDeny ? '[^/]*' : '[^/+#]*')).join('/')
}

/** `allowed` without whatever one of `refused` matches as a whole. */
export function without(allowed: string, refused: readonly string[]): string {
  return refused.length === 0 ? allowed : `(?!(?:${refused.join('|')})${END})${allowed}`
}

export const NO_WILDCARDS = '(?![^+#]*[+#])'
export const SOME_WILDCARD = '(?=[^+#]*[+#])'
export const NO_CONTROLS = '(?!\\P{Cc}*\\p{Cc})'

/** Refuses texts with more than so many levels. */
export function atMostLevels(count: number): string {
  return `(?!(?:[^/]*/){${count}})`
}

/** Refuses texts that may be longer than so many bytes of UTF-8: exactly so in ASCII, and by the longest characters elsewhere. */
export function atMostBytes(count: number): string {
  return `(?=[\\u0000-\\u007f]{0,${count}}${END}|[\\s\\S]{0,${Math.floor(count / 4)}}${END})`
}

function character(codePoint: number): string {
  const text = String.fromCodePoint(codePoint)
  return Array.from({ length: text.length }, (_, i) => escaped(text.charCodeAt(i))).join('')
}

function classOf(set: readonly number[]): string {
  if (set.length === 0) return '[^\\s\\S]' // `[]` is an error to Java, and then a broker allows everything
  const [first, last] = [set[0] ?? 0, set.at(-1) ?? 0]
  if (set.length === 2 && first === last) return quotedOne(first)
  if (set.length === 2 && first === 0 && last === MAX_CODE_POINT) return '[\\s\\S]'
  const isNegated = first === 0 && last === MAX_CODE_POINT
  const pairs = isNegated ? negated(set) : set
  const ranges: string[] = []
  for (let i = 0; i < pairs.length; i += 2) {
    const [from, to] = [pairs[i] ?? 0, pairs[i + 1] ?? 0]
    ranges.push(from === to ? character(from) : `${character(from)}-${character(to)}`)
  }
  return `[${isNegated ? '^' : ''}${ranges.join('')}]`
}

function quotedOne(codePoint: number): string {
  return quoted(String.fromCodePoint(codePoint))
}

/** An expression that Java, which backtracks, could take very long over. */
export class Costly extends Error {
  override readonly name = 'Costly'
}

/** Unbounded repetitions of one expression: with two, time grows with the square of a topic's length. */
const MAX_UNBOUNDED = 2

function isPlain(node: RegexNode): boolean {
  return node.kind === 'one' || (node.kind === 'sequence' && node.items.every(({ kind }) => kind === 'one'))
}

const LAST_OF_ONE_UNIT = 0xffff

/** Whether all that a plain node takes is of one length in UTF-16: else Java recurses wherever the length changes. */
function isOfOneLength(node: RegexNode): boolean {
  if (node.kind === 'sequence') return node.items.every(isOfOneLength)
  return node.kind === 'one' && ((node.set.at(-1) ?? 0) <= LAST_OF_ONE_UNIT || (node.set[0] ?? 0) > LAST_OF_ONE_UNIT)
}

/** One character again and again: without a group around it Java counts it in a loop, whatever its length. */
function repeatedOne(text: string, min: number, max: number): string {
  if (max !== Number.POSITIVE_INFINITY || min <= 1) return text + boundsText(min, max)
  return `${text}{${min}}${text}*`
}

/** One of several characters is a class, however it was written. */
function simplified(node: RegexNode): RegexNode {
  if (node.kind !== 'either') return node
  const options = node.options.map(simplified)
  if (!options.every((one) => one.kind === 'one')) return node
  const pairs = options.flatMap((one) => (one.kind === 'one' ? [...one.set] : []))
  return { kind: 'one', set: charSet(pairs) }
}

/**
 * Writes a checked expression whose variables are filled in.
 *
 * @throws {Costly} where a repetition stands inside another, there are more than two without an end, or one of those would take
 *   stack with every character
 */
export function expressionText(node: RegexNode): string {
  let unbounded = 0
  function write(one: RegexNode): string {
    switch (one.kind) {
      case 'one':
        return classOf(one.set)
      case 'hole':
        throw new TypeError('a variable that was not filled in')
      case 'sequence':
        return one.items.map(write).join('')
      case 'either': {
        const plain = simplified(one)
        return plain.kind === 'either' ? `(?:${plain.options.map(write).join('|')})` : write(plain)
      }
      case 'repeat': {
        const item = simplified(one.item)
        if (one.max > 1 && !isPlain(item)) throw new Costly('a repetition of more than plain characters')
        if (one.max === Number.POSITIVE_INFINITY && ++unbounded > MAX_UNBOUNDED)
          throw new Costly('more than two repetitions without an end')
        if (item.kind === 'one') return repeatedOne(write(item), one.min, one.max)
        if (one.max === Number.POSITIVE_INFINITY && !isOfOneLength(item))
          throw new Costly('a repetition without an end of what is not of one length')
        return `(?:${write(item)})${boundsText(one.min, one.max)}`
      }
    }
  }
  return write(node)
}

function boundsText(min: number, max: number): string {
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  return `{${min},${max}}`
}
