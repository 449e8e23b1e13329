/** Text of a pattern, or the place of a variable in it: the `hole`-th value is put there as quoted text. */
export type RegexPart =
  | string
  /** `width`: characters of the variable as written, so that positions are those of the document. */
  | { readonly hole: number; readonly width?: number }

/** What is wrong with a pattern, and at which UTF-16 unit of it, counted from 0. */
export interface RegexProblem {
  readonly message: string
  readonly position: number
}

/** Ends the parsing of a pattern; it never leaves `parseRegex`. */
export class RegexRefusal extends Error {
  readonly position: number

  constructor(message: string, position: number) {
    super(message)
    this.position = position
  }
}

/** Stands behind the last character. */
export const END = -1

/** Reads a pattern code point by code point; a variable reads as a number below `END`. */
export class PatternCursor {
  readonly #items: number[] = []
  readonly #positions: number[] = []
  at = 0

  constructor(parts: readonly RegexPart[]) {
    let position = 0
    for (const part of parts) {
      if (typeof part !== 'string') {
        this.#add(END - 1 - part.hole, position)
        position += part.width ?? 0
        continue
      }
      for (const character of part) {
        this.#add(character.codePointAt(0) as number, position)
        position += character.length
      }
    }
    this.#positions.push(position)
  }

  #add(item: number, position: number): void {
    this.#items.push(item)
    this.#positions.push(position)
  }

  /** Number of the variable that `item` stands for; `undefined` for a character and the end. */
  static holeOf(item: number): number | undefined {
    return item < END ? END - 1 - item : undefined
  }

  peek(ahead = 0): number {
    return this.#items[this.at + ahead] ?? END
  }

  next(): number {
    const item = this.peek()
    if (item !== END) this.at++
    return item
  }

  looksAt(text: string): boolean {
    return Array.from(text).every((character, i) => this.peek(i) === character.codePointAt(0))
  }

  /** Goes past `text` where it comes next. */
  takes(text: string): boolean {
    if (!this.looksAt(text)) return false
    this.at += Array.from(text).length
    return true
  }

  /** Reads as many of the characters as come next, at most `most`. */
  takeWhile(characters: string, most: number): string {
    let taken = ''
    while (taken.length < most) {
      const c = this.peek()
      if (c < 0 || !characters.includes(String.fromCodePoint(c))) break
      taken += String.fromCodePoint(c)
      this.at++
    }
    return taken
  }

  /** The problem at the item `at`, to be thrown. */
  refusal(message: string, at: number): RegexRefusal {
    return new RegexRefusal(message, this.#positions[Math.min(at, this.#positions.length - 1)] ?? 0)
  }
}
