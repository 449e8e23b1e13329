import { ANY, type Level, type Levels, REST } from '../levels.ts'
import { DOLLAR, SLASH } from './topic-characters.ts'

/** No name goes on like this. */
export const NOWHERE = -1
const LEVEL = -1
const TAIL = -2

function isAny(level: Level | undefined): boolean {
  return level === ANY || level === '+'
}

function isRest(level: Level | undefined): boolean {
  return level === REST || level === '#'
}

/** `#` instead of `+/#`, and `/#` instead of `/+/#`: whatever `#` then stands for is below the first level. */
function shortest(levels: Levels): Levels {
  if (levels.length === 2 && isAny(levels[0]) && isRest(levels[1])) return [REST]
  if (levels.length === 3 && levels[0] === '' && isAny(levels[1]) && isRest(levels[2])) return ['', REST]
  return levels
}

/** One number for each character of a literal level and for each slash, and one for each wildcard. */
function cellsOf(levels: Levels): number[] {
  const cells: number[] = []
  for (const [i, level] of shortest(levels).entries()) {
    if (i > 0) cells.push(SLASH)
    if (isAny(level)) cells.push(LEVEL)
    else if (isRest(level)) cells.push(TAIL)
    else for (const character of level as string) cells.push(character.codePointAt(0) as number)
  }
  return cells
}

/**
 * The automaton of the names that a filter matches. A state is a cell and whether a character was taken in it, and 0 the
 * start. Where it is not `exact`, the names are left out in which a wildcard stands for an empty level, or `#` for none.
 *
 * @see OASIS MQTT 5.0 §4.7.1 (wildcards), §4.7.2 (topics beginning with `$`)
 */
export class FilterAutomaton {
  readonly #cells: readonly number[]
  readonly #exact: boolean
  static readonly start = 0

  constructor(levels: Levels, exact: boolean) {
    this.#cells = cellsOf(levels)
    this.#exact = exact
  }

  /** States are below this number. */
  get size(): number {
    return 2 * this.#cells.length + 3
  }

  /** The one code point that can come next, where the filter leaves no choice. */
  onlyNext(state: number): number | undefined {
    const cell = this.#cells[state === 0 ? 0 : (state - 1) >> 1]
    return cell !== undefined && cell >= 0 ? cell : undefined
  }

  /** The state behind one character that a name may hold. */
  step(state: number, codePoint: number): number {
    const at = state === 0 ? 0 : (state - 1) >> 1
    const isTaken = state > 0 && (state - 1) % 2 === 1
    const cell = this.#cells[at]
    if (cell === undefined) return NOWHERE
    if (cell >= 0) return cell === codePoint ? 2 * (at + 1) + 1 : NOWHERE
    if (state === 0 && codePoint === DOLLAR) return NOWHERE // [MQTT-4.7.2-1]
    if (codePoint !== SLASH) return 2 * at + 2
    if (!isTaken && !this.#exact) return NOWHERE
    if (cell === TAIL) return this.#exact ? 2 * at + 2 : 2 * at + 1
    return at + 1 < this.#cells.length ? 2 * (at + 2) + 1 : NOWHERE
  }

  /** Whether a name may end here. No name is empty. */
  accepts(state: number): boolean {
    if (state === 0) return false
    const at = (state - 1) >> 1
    const cell = this.#cells[at]
    if (cell === undefined || cell >= 0) return this.#isEnd(at)
    const isFilled = this.#exact || (state - 1) % 2 === 1
    return isFilled && (cell === TAIL || this.#isEnd(at + 1))
  }

  /** Whether the filter is used up at a cell, or only `/#` follows, which includes the parent level. */
  #isEnd(at: number): boolean {
    const left = this.#cells.length - at
    return left === 0 || (this.#exact && left === 2 && this.#cells[at + 1] === TAIL)
  }
}
