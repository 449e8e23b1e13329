import type { Ranges } from './ranges.ts'
import { hexAt, type TextArena } from './text-arena.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const PERCENT = 0x25
const AMPERSAND = 0x26
const COMMA = 0x2c
const COLON = 0x3a
const LETTER_U = 0x75
const BYTE_ORDER_MARK = 0xfeff
/** What `\b`, `\f` and the other short escapes stand for (RFC 8259 §7). */
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  '"\\/bfnrt'.split('').map((letter, i) => [letter.charCodeAt(0), '"\\/\b\f\n\r\t'.charCodeAt(i)]),
)
const WORDS = ['true', 'false', 'null'].map((word) => word.split('').map((letter) => letter.charCodeAt(0)))

/** Where the strings of a JSON text are. */
export interface JsonStrings {
  /** Those that have no other form, where they stand. */
  readonly plain: Ranges
  /** Those with an escape, a `%` or a `&`: in the arena, their escapes decoded. */
  readonly decodable: Ranges
}

function isSpace(unit: number | undefined): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09
}

function isDigit(unit: number | undefined): boolean {
  return unit !== undefined && unit >= 0x30 && unit <= 0x39
}

/** Walks over a text and is done with it, or says that it is no JSON (RFC 8259). */
class Walk {
  readonly #plain: Ranges
  readonly #decodable: Ranges
  readonly #arena: TextArena
  readonly #units: Uint16Array
  readonly #to: number
  #at: number
  /** What closes each bracket that is open. */
  #closers = new Uint8Array(64)
  #depth = 0

  constructor(arena: TextArena, from: number, to: number, { plain, decodable }: JsonStrings) {
    this.#plain = plain
    this.#decodable = decodable
    this.#arena = arena
    this.#units = arena.units.subarray(0, to)
    this.#to = to
    this.#at = this.#units[from] === BYTE_ORDER_MARK ? from + 1 : from
  }

  /** Iterative, so that depth costs a byte and no stack. */
  run(): boolean {
    for (;;) {
      const c = this.#next()
      if (c === 0x7b || c === 0x5b) {
        const closer = c + 2
        this.#at++
        if (this.#next() !== closer) {
          this.#open(closer)
          if (closer === 0x7d && !this.#name()) return false
          continue
        }
        this.#at++
      } else if (!this.#scalar(c)) return false
      if (!this.#close()) return false
      if (this.#depth === 0) return this.#at === this.#to
    }
  }

  #open(closer: number): void {
    if (this.#depth === this.#closers.length) {
      const larger = new Uint8Array(4 * this.#depth)
      larger.set(this.#closers)
      this.#closers = larger
    }
    this.#closers[this.#depth++] = closer
  }

  /** Behind a value: closes what ends here, up to the comma before the next value. */
  #close(): boolean {
    for (;;) {
      const c = this.#next()
      if (this.#depth === 0) return true
      const closer = this.#closers[this.#depth - 1]
      if (c !== closer && c !== COMMA) return false
      this.#at++
      if (c === COMMA) return closer === 0x5d || this.#name()
      this.#depth--
    }
  }

  #name(): boolean {
    if (this.#next() !== QUOTE || !this.#string() || this.#next() !== COLON) return false
    this.#at++
    return true
  }

  #scalar(c: number | undefined): boolean {
    if (c === QUOTE) return this.#string()
    if (c === 0x2d || isDigit(c)) return this.#number()
    const word = WORDS.find(([first]) => first === c)
    if (!word?.every((unit, i) => this.#units[this.#at + i] === unit)) return false
    this.#at += word.length
    return true
  }

  #number(): boolean {
    const units = this.#units
    if (units[this.#at] === 0x2d) this.#at++
    if (units[this.#at] === 0x30) this.#at++
    else if (!this.#digits()) return false
    if (units[this.#at] === 0x2e) {
      this.#at++
      if (!this.#digits()) return false
    }
    if (((units[this.#at] ?? 0) | 0x20) !== 0x65) return true
    this.#at++
    if (units[this.#at] === 0x2b || units[this.#at] === 0x2d) this.#at++
    return this.#digits()
  }

  #digits(): boolean {
    const start = this.#at
    while (isDigit(this.#units[this.#at])) this.#at++
    return this.#at > start
  }

  #string(): boolean {
    const units = this.#units
    const start = this.#at + 1
    let escaped = false
    let plain = true
    for (let i = start; i < units.length; i++) {
      const c = units[i] as number
      if (c > BACKSLASH) continue
      if (c === QUOTE) {
        this.#at = i + 1
        if (plain) this.#plain.add(start, i)
        else return this.#keep(start, i, escaped)
        return true
      }
      if (c < 0x20) return false
      if (c === BACKSLASH) {
        escaped = true
        plain = false
        i++
      } else if (c === PERCENT || c === AMPERSAND) plain = false
    }
    return false
  }

  #keep(from: number, to: number, escaped: boolean): boolean {
    const start = this.#arena.length
    if (!escaped) this.#decodable.add(from, to)
    else if (!this.#decode(from, to)) return false
    else this.#decodable.add(start, this.#arena.length)
    return true
  }

  /** Appends a string with its escapes decoded; says no to an escape that JSON does not have. */
  #decode(from: number, to: number): boolean {
    const units = this.#units
    this.#arena.reserve(to - from)
    for (let i = from; i < to; i++) {
      const c = units[i] as number
      const letter = units[i + 1] as number
      if (c !== BACKSLASH) this.#arena.add(c)
      else if (letter === LETTER_U) {
        const unit = hexAt(units, i + 2, 4, to)
        if (unit === -1) return false
        this.#arena.add(unit)
        i += 5
      } else {
        const unit = SHORT_ESCAPES.get(letter)
        if (unit === undefined) return false
        this.#arena.add(unit)
        i++
      }
    }
    return true
  }

  /** The unit behind white space; `undefined` at the end. */
  #next(): number | undefined {
    while (isSpace(this.#units[this.#at])) this.#at++
    return this.#units[this.#at]
  }
}

/** Reports whether a text begins as JSON with a string in it does: an object, a list, or a string. */
export function looksLikeJson({ units }: TextArena, from: number, to: number): boolean {
  let at = units[from] === BYTE_ORDER_MARK ? from + 1 : from
  while (at < to && isSpace(units[at])) at++
  return at < to && (units[at] === 0x7b || units[at] === 0x5b || units[at] === QUOTE)
}

/**
 * Adds every string of a JSON text to some ranges, names and members that a later one of the same name replaces among
 * them. Reports whether the text is JSON; when it is not, the arena is as before. Builds no values. A byte order mark in
 * front is passed over.
 */
export function findJsonStrings(arena: TextArena, from: number, to: number, into: JsonStrings): boolean {
  const before = arena.length
  if (new Walk(arena, from, to, into).run()) return true
  arena.length = before
  return false
}
