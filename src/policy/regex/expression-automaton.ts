import { type Alphabet, classOf, readability } from './alphabet.ts'
import type { TopicRegex } from './compile-regex.ts'
import { DEAD, Dfa, FULL } from './dfa.ts'
import { mayStandInName, SLASH } from './topic-characters.ts'

const [A, B] = [0x61, 0x62]

/** One character of each class that names may hold, the most readable first. */
function choicesOf({ members }: Alphabet, withEdges: boolean): number[] {
  return [...members]
    .filter((member) => mayStandInName(member, withEdges))
    .sort((a, b) => readability(a) - readability(b) || a - b)
}

/** A regular expression as an automaton over code points: first its literal prefix, then its program. */
export class ExpressionAutomaton {
  readonly #prefix: readonly number[]
  readonly #dfa: Dfa
  readonly #alphabet: Alphabet
  readonly #withEdges: boolean
  readonly #choices: readonly number[]

  constructor({ prefix, rest: { automaton } }: TopicRegex, withEdges: boolean) {
    this.#prefix = Array.from(prefix, (character) => character.codePointAt(0) as number)
    this.#alphabet = automaton.alphabet
    this.#dfa = new Dfa(automaton) // a new one: answers must not depend on what was matched before
    this.#withEdges = withEdges
    this.#choices = choicesOf(this.#alphabet, withEdges)
  }

  get start(): number {
    return this.#behind(0)
  }

  /** Instructions visited so far. */
  get work(): number {
    return this.#dfa.work
  }

  /** The state behind so many characters of the prefix: 1 and up. Behind the last come the states of the program. */
  #behind(count: number): number {
    return count < this.#prefix.length ? count + 1 : this.#moved(this.#dfa.start)
  }

  #moved(state: number): number {
    return state === DEAD || state === FULL ? state : state + this.#prefix.length
  }

  accepts(state: number): boolean {
    return state > this.#prefix.length && this.#dfa.accepts(state - this.#prefix.length)
  }

  /** The state behind one character, `DEAD`, or `FULL` where the program has too many states. */
  step(state: number, codePoint: number): number {
    if (state === DEAD) return DEAD
    const expected = this.#prefix[state - 1]
    if (expected !== undefined) return codePoint === expected ? this.#behind(state) : DEAD
    return this.#moved(this.#dfa.step(state - this.#prefix.length, classOf(this.#alphabet, codePoint)))
  }

  /** Characters that lead wherever a character of a name can lead from a state. */
  choices(state: number): readonly number[] {
    if (state === DEAD) return [A, SLASH]
    const expected = this.#prefix[state - 1]
    if (expected === undefined) return this.#choices
    const others = [expected === A ? B : A, SLASH]
    return mayStandInName(expected, this.#withEdges) ? [...others, expected] : others
  }
}
