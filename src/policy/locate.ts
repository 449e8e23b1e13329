import { quote } from './problems.ts'

/** Where something stands in a text; both count from 1, columns in UTF-16 units as editors do. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** The places that are looked for, step by step; `wanted` numbers those that end here. */
interface Target {
  readonly wanted: number[]
  readonly members: Map<string, Target>
}

const createTarget = (): Target => ({ wanted: [], members: new Map() })
const STEP = /\.?([A-Za-z_][\w-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y

/** The steps of a path such as `rules[0]["odd key"].regex`; names as `quote` writes them, numbers in brackets. */
function stepsOf(path: string): string[] | undefined {
  const steps: string[] = []
  for (STEP.lastIndex = 0; STEP.lastIndex < path.length; ) {
    const match = STEP.exec(path)
    if (!match) return undefined
    const [, name, index, quoted] = match
    steps.push(index === undefined ? (quoted ?? quote(name ?? '')) : `[${index}]`)
  }
  return steps
}

/** Walks JSON text that has been parsed already, and only those values that are looked for. */
class Locator {
  readonly #text: string
  readonly starts: (number | undefined)[] = []
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  #skipSpace(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at++
  }

  #skipString(): string {
    const start = this.#at++
    while (this.#at < this.#text.length && this.#text[this.#at] !== '"')
      this.#at += this.#text[this.#at] === '\\' ? 2 : 1
    this.#at++
    return this.#text.slice(start, this.#at)
  }

  /** Passes over a value of any depth. */
  #skipValue(): void {
    let depth = 0
    do {
      this.#skipSpace()
      const c = this.#text[this.#at]
      if (c === '"') this.#skipString()
      else if (c === '{' || c === '[') {
        depth++
        this.#at++
      } else if (c === '}' || c === ']') {
        depth--
        this.#at++
      } else if (c === ',' || c === ':') this.#at++
      else while (this.#at < this.#text.length && !/[\s,:\]}]/.test(this.#text[this.#at] as string)) this.#at++
    } while (depth > 0 && this.#at < this.#text.length)
  }

  /** Walks one value. What is wanted below it and is not there is taken to be where the value is. */
  walk(target: Target): void {
    this.#skipSpace()
    this.#note(target, this.#at)
    const open = this.#text[this.#at]
    const isOpen = open === '{' || open === '['
    if (isOpen && target.members.size > 0) this.#walkMembers(target, open === '{')
    else this.#skipValue()
  }

  #walkMembers({ members }: Target, isObject: boolean): void {
    this.#at++
    for (let index = 0; this.#at < this.#text.length; index++) {
      this.#skipSpace()
      const c = this.#text[this.#at]
      if (c === '}' || c === ']') break
      if (c === ',') this.#at++
      this.#skipSpace()
      const member = members.get(isObject ? this.#nextName() : `[${index}]`)
      if (member) this.walk(member)
      else this.#skipValue()
    }
    this.#at++
  }

  /** The name of the next member, as `quote` writes it; stops behind the colon. */
  #nextName(): string {
    const name = JSON.parse(this.#skipString()) as string
    this.#skipSpace()
    this.#at++
    return quote(name)
  }

  #note({ wanted, members }: Target, start: number): void {
    for (const number of wanted) this.starts[number] = start
    for (const member of members.values()) this.#note(member, start)
  }
}

/**
 * Finds the places of JSON paths as problems name them (`rules[3].topics[0].regex`, `rules[0]["odd key"]`) in the text of a
 * document, in one pass. A member that is not there is located at the value that it is missing from; a text that is no JSON
 * must not be given.
 *
 * @returns one position for each path; `undefined` for what is no path
 */
export function locateAll(text: string, paths: readonly string[]): (Position | undefined)[] {
  const root = createTarget()
  for (const [number, path] of paths.entries()) {
    let target: Target = root
    const steps = stepsOf(path)
    for (const step of steps ?? []) {
      const next = target.members.get(step) ?? createTarget()
      target.members.set(step, next)
      target = next
    }
    if (steps) target.wanted.push(number)
  }
  const locator = new Locator(text)
  locator.walk(root)
  const positions = positionsOf(
    text,
    locator.starts.filter((start) => start !== undefined),
  )
  return paths.map((_, number) => positions.get(locator.starts[number] ?? -1))
}

/** Lines and columns of some offsets, in one pass. */
function positionsOf(text: string, offsets: readonly number[]): Map<number, Position> {
  const positions = new Map<number, Position>()
  const lineEnd = /\r\n?|\n/g
  let end = lineEnd.exec(text)
  let line = 1
  let lineStart = 0
  for (const offset of [...new Set(offsets)].sort((a, b) => a - b)) {
    while (end && end.index < offset) {
      line++
      lineStart = lineEnd.lastIndex
      end = lineEnd.exec(text)
    }
    positions.set(offset, { line, column: offset - lineStart + 1 })
  }
  return positions
}

/** Finds the place of one JSON path, see `locateAll`. */
export function locate(text: string, path: string): Position | undefined {
  return locateAll(text, [path])[0]
}

/** The position of an offset in a text. */
export function positionAt(text: string, offset: number): Position {
  return positionsOf(text, [offset]).get(offset) as Position
}
