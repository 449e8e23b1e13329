import { type CharSet, notLineEnds, withBothCases } from './char-set.ts'
import { parseClass, parseEscape } from './parse-class.ts'
import { END, PatternCursor, type RegexPart } from './pattern-cursor.ts'
import { either, type RegexNode, sequence } from './regex-node.ts'

/** What a pattern may hold beyond what is taken everywhere. */
export interface RegexSyntax {
  /** Allows `^` at the start and `$` at the end of the pattern or of an alternative of it. */
  readonly anchors?: boolean
  /** Allows `(?i)` at the start. */
  readonly inlineCase?: boolean
}

/** What `{m,n}` may ask for. */
const MAX_REPEATS = 200
const MAX_DEPTH = 100

/** One alternative of the whole pattern, and whether it is tied to the start or the end of the text. */
export interface Alternative {
  readonly node: RegexNode
  readonly isAtStart: boolean
  readonly isAtEnd: boolean
}

/** Which `(?` it is that the pattern has. */
const refusedGroups: readonly [start: string, message: string][] = [
  ['(?=', 'look-ahead is not supported'],
  ['(?!', 'look-ahead is not supported'],
  ['(?<=', 'look-behind is not supported'],
  ['(?<!', 'look-behind is not supported'],
  ['(?<', 'named groups are not supported; write (?:'],
  ['(?P', 'named groups are not supported; write (?:'],
  ['(?>', 'atomic groups are not supported; write (?:'],
  ['(?', 'flags are not supported here; a group is written ( or (?:'],
]

/** Reads a pattern by recursive descent; it throws `RegexRefusal`. */
export class RegexParser {
  readonly #cursor: PatternCursor
  readonly #syntax: RegexSyntax
  #ignoreCase = false
  #depth = 0

  constructor(parts: readonly RegexPart[], syntax: RegexSyntax) {
    this.#cursor = new PatternCursor(parts)
    this.#syntax = syntax
  }

  parse(): Alternative[] {
    const cursor = this.#cursor
    if (this.#syntax.inlineCase === true) this.#ignoreCase = cursor.takes('(?i)')
    if (cursor.peek() === END) throw cursor.refusal('the pattern is empty', cursor.at)
    const alternatives = this.#alternatives()
    if (cursor.peek() !== END)
      throw cursor.refusal('no ( stands before it; write \\) for the character itself', cursor.at)
    return alternatives
  }

  #one(set: CharSet): RegexNode {
    return { kind: 'one', set: this.#ignoreCase ? withBothCases(set) : set }
  }

  #alternatives(): Alternative[] {
    const alternatives = [this.#alternative()]
    while (this.#cursor.takes('|')) alternatives.push(this.#alternative())
    return alternatives
  }

  #alternative(): Alternative {
    const cursor = this.#cursor
    const items: RegexNode[] = []
    const isAtStart = this.#anchor('^')
    /** Why the last item cannot be repeated; `undefined` where it can. */
    let fixed: string | undefined = 'nothing stands before it that could be repeated'
    for (;;) {
      const c = cursor.peek()
      if (c === END || c === 0x7c || c === 0x29) return { node: sequence(items), isAtStart, isAtEnd: false }
      if (c === 0x24 && this.#anchor('$')) {
        if (cursor.peek() === END || cursor.peek() === 0x7c) return { node: sequence(items), isAtStart, isAtEnd: true }
        throw cursor.refusal('$ stands only at the end; write \\$ for the character itself', cursor.at - 1)
      }
      const repeat = this.#quantifier(fixed)
      if (repeat) {
        items.push({ kind: 'repeat', item: items.pop() as RegexNode, ...repeat })
        fixed = 'what is repeated already needs a group around it'
        continue
      }
      const added = this.#atom()
      items.push(...added)
      if (added.length > 0)
        fixed = PatternCursor.holeOf(c) === undefined ? undefined : 'a variable needs a group around it'
    }
  }

  #anchor(sign: '^' | '$'): boolean {
    const cursor = this.#cursor
    if (!cursor.looksAt(sign)) return false
    if (this.#syntax.anchors !== true)
      throw cursor.refusal(
        `the pattern is matched as a whole: leave ${sign} out, or write \\${sign} for the character`,
        cursor.at,
      )
    if (this.#depth > 0) throw cursor.refusal(`${sign} is not supported inside a group`, cursor.at)
    return cursor.takes(sign)
  }

  #quantifier(fixed: string | undefined): { min: number; max: number } | undefined {
    const cursor = this.#cursor
    const at = cursor.at
    const c = cursor.peek()
    if (c !== 0x2a && c !== 0x2b && c !== 0x3f && c !== 0x7b) return undefined
    cursor.next()
    const sign = String.fromCodePoint(c)
    const bounds =
      c === 0x7b ? this.#bounds(at) : { min: c === 0x2b ? 1 : 0, max: c === 0x3f ? 1 : Number.POSITIVE_INFINITY }
    if (fixed !== undefined) throw cursor.refusal(`${sign}: ${fixed}`, at)
    if (cursor.looksAt('+')) throw cursor.refusal('possessive repetition is not supported', cursor.at)
    cursor.takes('?') // lazy: another way to the same match
    return bounds
  }

  /** Reads `m}`, `m,}` or `m,n}`. */
  #bounds(open: number): { min: number; max: number } {
    const cursor = this.#cursor
    const digits = '0123456789'
    const first = cursor.takeWhile(digits, 9)
    const isOpen = cursor.takes(',')
    const last = isOpen ? cursor.takeWhile(digits, 9) : first
    if (first === '' || !cursor.takes('}'))
      throw cursor.refusal('write {m}, {m,} or {m,n}; \\{ is the brace itself', open)
    const min = Number(first)
    const max = last === '' ? Number.POSITIVE_INFINITY : Number(last)
    if (min > MAX_REPEATS || (last !== '' && max > MAX_REPEATS))
      throw cursor.refusal(`more than ${MAX_REPEATS} repetitions`, open)
    if (max < min) throw cursor.refusal('the bounds run backwards', open)
    return { min, max }
  }

  /** Reads one character, class, group or variable, or the characters between `\Q` and `\E`. */
  #atom(): RegexNode[] {
    const cursor = this.#cursor
    const at = cursor.at
    if (cursor.takes('\\Q')) return this.#quoted(at)
    const c = cursor.next()
    const hole = PatternCursor.holeOf(c)
    if (hole !== undefined) return [{ kind: 'hole', hole }]
    if (c === 0x28) return [this.#group(at)]
    if (c === 0x5b) return [{ kind: 'one', set: parseClass(cursor, this.#ignoreCase) }]
    if (c === 0x2e) return [{ kind: 'one', set: notLineEnds }]
    if (c === 0x5e) throw cursor.refusal('^ stands only at the start; write \\^ for the character itself', at)
    const meant = c === 0x5c ? parseEscape(cursor) : c
    return [this.#one(typeof meant === 'number' ? [meant, meant] : meant)]
  }

  #quoted(open: number): RegexNode[] {
    const cursor = this.#cursor
    const items: RegexNode[] = []
    while (!cursor.takes('\\E')) {
      const c = cursor.next()
      if (c === END) throw cursor.refusal('\\Q without \\E', open)
      if (c < END)
        throw cursor.refusal('a variable cannot stand between \\Q and \\E; its value is quoted anyway', cursor.at - 1)
      items.push(this.#one([c, c]))
    }
    return items
  }

  #group(open: number): RegexNode {
    const cursor = this.#cursor
    if (cursor.looksAt('?') && !cursor.takes('?:')) {
      cursor.at = open
      const refused = refusedGroups.find(([start]) => cursor.looksAt(start))
      throw cursor.refusal(refused?.[1] ?? 'not supported', open)
    }
    if (++this.#depth > MAX_DEPTH) throw cursor.refusal(`groups nested deeper than ${MAX_DEPTH}`, open)
    const alternatives = this.#alternatives()
    if (!cursor.takes(')')) throw cursor.refusal('the group is not closed; write \\( for the character itself', open)
    this.#depth--
    return either(alternatives.map(({ node }) => node))
  }
}
