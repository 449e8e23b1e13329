/** Where a text stops being JSON, and what is wrong there. */
export interface JsonFault {
  readonly offset: number
  readonly message: string
}

const SPACE = ' \t\n\r'
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const WORD = /true|false|null/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

/** Reads a text without building anything, as far as it is JSON. */
class FaultFinder {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  #fault(message: string): JsonFault {
    const isEnd = this.#at >= this.#text.length
    return { offset: this.#at, message: isEnd ? `the text ends here: ${message}` : message }
  }

  #skipSpace(): string | undefined {
    while (SPACE.includes(this.#text[this.#at] ?? 'x')) this.#at++
    return this.#text[this.#at]
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    const isFound = pattern.test(this.#text)
    if (isFound) this.#at = pattern.lastIndex
    return isFound
  }

  #skipString(): JsonFault | undefined {
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const c = this.#text.charCodeAt(this.#at)
      if (c === 0x22) {
        this.#at++
        return undefined
      }
      if (c < 0x20) return this.#fault('a line end or control character in a string is written \\n or \\u00…')
      if (c !== 0x5c) continue
      if (!this.#skip(ESCAPE)) return this.#fault('no such escape; a backslash itself is written \\\\')
      this.#at--
    }
    return this.#fault('a string is not closed')
  }

  #skipScalar(c: string | undefined): JsonFault | undefined {
    if (c === '"') return this.#skipString()
    if (this.#skip(NUMBER) || this.#skip(WORD)) return undefined
    return this.#fault('expected a value: an object, a list, a "string", a number, true, false or null')
  }

  #skipName(): JsonFault | undefined {
    if (this.#skipSpace() !== '"') return this.#fault('expected the name of a member in double quotes')
    const fault = this.#skipString()
    if (fault) return fault
    if (this.#skipSpace() !== ':') return this.#fault('expected : behind the name of a member')
    this.#at++
    return undefined
  }

  find(): JsonFault | undefined {
    const open: string[] = []
    for (;;) {
      const c = this.#skipSpace()
      if (c === '{' || c === '[') {
        this.#at++
        const end = c === '{' ? '}' : ']'
        if (this.#skipSpace() !== end) {
          open.push(end)
          const fault = c === '{' ? this.#skipName() : undefined
          if (fault) return fault
          continue
        }
        this.#at++
      } else {
        const fault = this.#skipScalar(c)
        if (fault) return fault
      }
      let next = this.#skipSpace()
      for (; next !== undefined && next === open.at(-1); next = this.#skipSpace()) {
        open.pop()
        this.#at++
      }
      const end = open.at(-1)
      if (end === undefined)
        return next === undefined ? undefined : this.#fault('expected nothing more behind the value')
      if (next !== ',') return this.#fault(`expected , or ${end}`)
      this.#at++
      const fault = end === '}' ? this.#skipName() : undefined
      if (fault) return fault
    }
  }
}

/** Finds where a text stops being JSON; `undefined` where it does not. Time is linear, whatever the text. */
export function findJsonFault(text: string): JsonFault | undefined {
  return new FaultFinder(text).find()
}
