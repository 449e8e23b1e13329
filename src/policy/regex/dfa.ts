import { type Alphabet, classOf, createAlphabet, isInSet } from './alphabet.ts'
import type { CharSet } from './char-set.ts'
import { MATCH, type Program, SPLIT, TAKE } from './program.ts'
import { grown, StateSets } from './state-sets.ts'

/** The state from which nothing can match any more. */
export const DEAD = 0
/** What `step` answers when the next state has no room. */
export const FULL = -2
const UNKNOWN = -1
const MAX_STATES = 2_000
/** Integers that the states and transitions of one automaton may take: 1 MB. */
const MAX_CELLS = 250_000
const MIN_STATES = 8
const ASCII_SIZE = 128

/** A program and the classes of characters that it tells apart. */
export interface Automaton {
  readonly program: Program
  readonly alphabet: Alphabet
}

/** Prepares a program. Characters that `apart` tells apart stand in different classes, whatever the program does. */
export function createAutomaton(program: Program, apart: readonly CharSet[]): Automaton {
  return { program, alphabet: createAlphabet([...program.sets, ...apart]) }
}

/**
 * A deterministic automaton that is built while it runs: a state is the set of the instructions that wait for a character,
 * made when a text first leads there. Time is linear in the text; a step that is not known yet visits an instruction at
 * most once.
 *
 * @see Russ Cox, Regular Expression Matching in the Wild (2010): RE2 works this way
 */
export class Dfa {
  readonly #program: Program
  readonly #alphabet: Alphabet
  readonly #maxStates: number
  readonly #states: StateSets
  /** By state and class, the next state. */
  #next: Int32Array = new Int32Array(0)
  #accepting: Int32Array = new Int32Array(0)
  /** By class, the instructions that take its characters. */
  readonly #takers: (Int32Array | undefined)[] = []
  /** The set under construction, one bit for each instruction. */
  readonly #scratch: Int32Array
  /** The round in which an instruction was last visited. */
  readonly #marks: Int32Array
  readonly #stack: Int32Array
  #round = 0
  /** Instructions visited so far, and what it takes to go through and keep sets in the same measure. */
  work = 0
  start: number = DEAD

  constructor({ program, alphabet }: Automaton) {
    const instructions = program.kinds.length
    const words = (instructions + 31) >> 5
    this.#program = program
    this.#alphabet = alphabet
    this.#maxStates = Math.min(MAX_STATES, Math.max(MIN_STATES, Math.floor(MAX_CELLS / (alphabet.size + words))))
    this.#states = new StateSets(words)
    this.#scratch = new Int32Array(words)
    this.#marks = new Int32Array(instructions)
    this.#stack = new Int32Array(instructions)
    this.#restart()
  }

  #restart(): void {
    this.#states.clear()
    this.#scratch.fill(0)
    this.#add() // DEAD
    this.#round++
    this.#follow(this.#program.start)
    this.start = this.#add()
  }

  accepts(state: number): boolean {
    return this.#accepting[state] === 1
  }

  /** The state after one character of a class, or `FULL`. */
  step(state: number, number: number): number {
    const known = this.#next[state * this.#alphabet.size + number] as number
    return known === UNKNOWN ? this.#build(state, number) : known
  }

  /**
   * Reports whether the program takes the text from `from` to its end; `undefined` when that takes more `work` than
   * `maxWork`. What was built is kept, so that another time the same text may cost nothing.
   */
  matches(text: string, from: number, maxWork: number): boolean | undefined {
    const limit = this.work + maxWork
    const { size, ascii } = this.#alphabet
    let next = this.#next
    let state = this.start
    for (let i = from; i < text.length; i++) {
      let c = text.charCodeAt(i)
      let number: number
      if (c < ASCII_SIZE) number = ascii[c] as number
      else {
        c = text.codePointAt(i) as number
        if (c > 0xffff) i++
        number = classOf(this.#alphabet, c)
      }
      let target = next[state * size + number] as number
      if (target < 0) {
        if (this.work > limit) return undefined
        target = this.#buildOrRestart(state, number)
        next = this.#next
      }
      if (target === DEAD) return false
      state = target
    }
    return this.accepts(state)
  }

  #build(state: number, number: number): number {
    this.#leave(state, this.#takers[number] ?? this.#findTakers(number))
    const target = this.#add()
    if (target !== FULL) this.#next[state * this.#alphabet.size + number] = target
    return target
  }

  /** Builds a state where there is room, else forgets all others and goes on from there. */
  #buildOrRestart(state: number, number: number): number {
    const target = this.#build(state, number)
    if (target !== FULL) return target
    const kept = this.#scratch.slice()
    this.#restart()
    this.#scratch.set(kept)
    return this.#add()
  }

  /** Finds the state of the set under construction, or makes it where there is room. */
  #add(): number {
    const known = this.#states.find(this.#scratch)
    if (known !== undefined) return known
    if (this.#states.count === this.#maxStates) return FULL
    const state = this.#states.add(this.#scratch)
    const { size } = this.#alphabet
    if (state >= this.#accepting.length) {
      const capacity = Math.min(Math.max(MIN_STATES, 2 * state), this.#maxStates)
      this.#next = grown(this.#next, capacity * size)
      this.#accepting = grown(this.#accepting, capacity)
    }
    this.#next.fill(state === DEAD ? DEAD : UNKNOWN, state * size, (state + 1) * size)
    this.#accepting[state] = this.#scratch.some((_, w) => this.#hasMatch(w)) ? 1 : 0
    this.work += size >> 3
    return state
  }

  #hasMatch(word: number): boolean {
    const { kinds } = this.#program
    for (let bits = this.#scratch[word] as number; bits !== 0; bits &= bits - 1) {
      if (kinds[(word << 5) | (31 - Math.clz32(bits & -bits))] === MATCH) return true
    }
    return false
  }

  /** Finds the instructions that take the characters of a class. */
  #findTakers(number: number): Int32Array {
    const takers = new Int32Array(this.#scratch.length)
    for (const [pc, set] of this.#program.sets.entries()) {
      if (isInSet(this.#alphabet, number, set)) takers[pc >> 5] = (takers[pc >> 5] as number) | (1 << (pc & 31))
    }
    this.work += this.#program.sets.length
    this.#takers[number] = takers
    return takers
  }

  /** Makes the set of instructions that a character leads to, of those in a state that take it. */
  #leave(state: number, takers: Int32Array): void {
    const { out } = this.#program
    const { all } = this.#states
    const words = this.#scratch.length
    this.#scratch.fill(0)
    this.#round++
    this.work += words >> 1
    for (let w = 0; w < words; w++) {
      let bits = (all[state * words + w] as number) & (takers[w] as number)
      for (; bits !== 0; bits &= bits - 1) this.#follow(out[(w << 5) | (31 - Math.clz32(bits & -bits))] as number)
    }
  }

  /** Adds the instructions that are reached from `first` without taking a character. */
  #follow(first: number): void {
    const { kinds, out, other } = this.#program
    const scratch = this.#scratch
    let height = this.#push(first, 0)
    while (height > 0) {
      const pc = this.#stack[--height] as number
      const kind = kinds[pc] as number
      this.work++
      if (kind === SPLIT) height = this.#push(out[pc] as number, this.#push(other[pc] as number, height))
      else if (kind === TAKE || kind === MATCH) scratch[pc >> 5] = (scratch[pc >> 5] as number) | (1 << (pc & 31))
    }
  }

  #push(pc: number, height: number): number {
    if (this.#marks[pc] === this.#round) return height
    this.#marks[pc] = this.#round
    this.#stack[height] = pc
    return height + 1
  }
}
