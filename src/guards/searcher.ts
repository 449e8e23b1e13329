import { RE2Set } from 're2js'
import { createEngine, type Engine, type EngineState } from './engine.ts'
import { unitsOf } from './text-arena.ts'

/** What it may take to make states, in looks at an instruction of the patterns; about ten million a second. */
export interface WorkBudget {
  left: number
}

/** Makes rows of the table, as long as some are missing. */
interface Maker {
  readonly engine: Engine
  readonly states: EngineState[]
  readonly rows: Map<EngineState, number>
}

const LATIN1 = 256
/** Entries of the table that are no row: a match; not asked for yet; asked for when the budget was gone. */
const MATCH = -1
const UNKNOWN = -2
const GIVEN_UP = -3
/** What a step costs besides the instructions that it looks at. */
const STEP_COST = 20
const END_OF_TEXT = -1
const BEYOND_UNICODE = 0x110000

/** The code point that begins at an index; half a pair of surrogates is one of its own. */
function codePointAt(units: Uint16Array, at: number, to: number): number {
  const high = units[at] as number
  if (high < 0xd800 || high >= 0xdc00 || at + 1 >= to) return high
  const low = units[at + 1] as number
  return low >= 0xdc00 && low < 0xe000 ? (high - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000 : high
}

/**
 * Tells whether a text holds a match of any of some RE2 patterns: one look-up in a table for each character, whatever
 * the patterns. A row of the table is a state of re2js' automaton, made when a text first needs it.
 */
export class Searcher {
  /** For each row its next row by class of characters, or `MATCH`, or `UNKNOWN`; a row is named by its first index. */
  #table: Int32Array
  /** Entries of a row: one for each class, and the last for the end of the text. */
  readonly #width: number
  readonly #start: number
  /** Classes of characters: where each but the first begins, and the class of every code below 256. */
  readonly #bounds: Int32Array
  readonly #latin1 = new Uint16Array(LATIN1)
  /** `null` once every row is made. */
  #maker: Maker | null
  #stateCount = 0

  /** @throws {RE2JSException} for what is not RE2 syntax */
  constructor(patterns: readonly string[]) {
    const engine = createEngine(patterns)
    this.#maker = { engine, states: [], rows: new Map() }
    this.#bounds = engine.classBounds.filter((bound) => bound < BEYOND_UNICODE)
    this.#width = engine.numClasses + 1
    for (let c = 0; c < LATIN1; c++) this.#latin1[c] = this.#classOf(c)
    this.#table = new Int32Array(16 * this.#width).fill(UNKNOWN)
    const everyCondition = { context: () => -1 }
    this.#start = this.#rowOf(this.#maker, engine.start(everyCondition, 0))
  }

  /** States made so far. */
  get stateCount(): number {
    return this.#stateCount
  }

  search(text: string): boolean {
    return this.#run(unitsOf(text), 0, text.length, null) === MATCH
  }

  /** Reports whether one of some texts, each the units between two indices, holds a match. */
  searchTexts(units: Uint16Array, texts: Uint32Array): boolean {
    for (let i = 0; i < texts.length; i += 2) {
      if (this.#run(units, texts[i] as number, texts[i + 1] as number, null) === MATCH) return true
    }
    return false
  }

  /** Does the same as long as the states it needs are known or within the budget; `undefined` when it stopped there. */
  trySearchTexts(units: Uint16Array, texts: Uint32Array, budget: WorkBudget): boolean | undefined {
    for (let i = 0; i < texts.length; i += 2) {
      const end = this.#run(units, texts[i] as number, texts[i + 1] as number, budget)
      if (end < 0) return end === MATCH ? true : undefined
    }
    return false
  }

  /** Makes every row there is; `false` when the budget ends before, and then the searcher is not to be used. */
  finish(budget: WorkBudget): boolean {
    const states = this.#maker?.states ?? []
    for (let i = 0; i < states.length; i++) {
      for (let c = 0; c < this.#width; c++) {
        if (this.#make(i * this.#width, c, budget) === GIVEN_UP) return false
      }
    }
    this.#maker = null // the states take far more memory than the table
    return true
  }

  /** `MATCH`, `GIVEN_UP`, or a row in which the text ends without a match. */
  #run(units: Uint16Array, from: number, to: number, budget: WorkBudget | null): number {
    const row = this.#walk(units, from, to, budget)
    if (row < 0) return row
    const end = this.#table[row + this.#width - 1] as number
    return end === UNKNOWN ? this.#make(row, this.#width - 1, budget) : end
  }

  /** The row behind the last character, `MATCH` or `GIVEN_UP`. Nothing but a loop, which is what the compiler does well. */
  #walk(units: Uint16Array, from: number, to: number, budget: WorkBudget | null): number {
    const latin1 = this.#latin1
    let table = this.#table
    let row = this.#start
    for (let i = from; i < to; i++) {
      let c = units[i] as number
      if (c < LATIN1) c = latin1[c] as number
      else {
        const codePoint = codePointAt(units, i, to)
        if (codePoint > 0xffff) i++
        c = this.#classOf(codePoint)
      }
      let next = table[row + c] as number
      if (next < 0) {
        if (next === UNKNOWN) next = this.#make(row, c, budget)
        if (next < 0) return next
        table = this.#table
      }
      row = next
    }
    return row
  }

  #classOf(codePoint: number): number {
    let low = 0
    let high = this.#bounds.length
    if (codePoint >= (this.#bounds[high - 1] ?? 0)) return high // most scripts lie behind every bound
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#bounds[middle] as number) <= codePoint) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Makes an entry of the table, as far as the budget goes. */
  #make(row: number, characterClass: number, budget: WorkBudget | null): number {
    if (!this.#maker) throw new Error('a finished searcher lacks a row')
    const state = this.#maker.states[row / this.#width] as EngineState
    if (budget) budget.left -= STEP_COST + state.nfaStates.length
    if (budget && budget.left < 0) return GIVEN_UP
    const first = characterClass === 0 ? 0 : (this.#bounds[characterClass - 1] ?? BEYOND_UNICODE)
    const codePoint = characterClass === this.#width - 1 ? END_OF_TEXT : first
    if (codePoint >= BEYOND_UNICODE) return row // a class without a character
    const next = this.#maker.engine.step(state, characterClass, codePoint, RE2Set.UNANCHORED)
    const entry = next?.isMatch === true ? MATCH : this.#rowOf(this.#maker, next)
    this.#table[row + characterClass] = entry
    return entry
  }

  #rowOf({ states, rows }: Maker, state: EngineState | null): number {
    if (state === null) throw new Error('the pattern engine made no state')
    const known = rows.get(state)
    if (known !== undefined) return known
    const row = (states.push(state) - 1) * this.#width
    this.#stateCount = states.length
    rows.set(state, row)
    if (row + this.#width > this.#table.length) {
      const larger = new Int32Array(2 * this.#table.length).fill(UNKNOWN)
      larger.set(this.#table)
      this.#table = larger
    }
    return row
  }
}
