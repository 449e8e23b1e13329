import { type Automaton, createAutomaton, Dfa } from './dfa.ts'
import { compileProgram } from './program.ts'
import type { RegexNode } from './regex-node.ts'
import { topicSets } from './topic-characters.ts'

/** What compiling counts as, in steps of matching. */
const COMPILE_WORK = 5_000

/** A node that is compiled when it is first needed: a policy has many patterns, a client meets few. */
export class LazyAutomaton {
  readonly #node: RegexNode
  #automaton: Automaton | undefined
  #dfa: Dfa | undefined

  constructor(node: RegexNode) {
    this.#node = node
  }

  get automaton(): Automaton {
    this.#automaton ??= createAutomaton(compileProgram(this.#node), topicSets)
    return this.#automaton
  }

  /** Steps that were spent on it so far, its compilation included. */
  get work(): number {
    return this.#dfa ? this.#dfa.work + COMPILE_WORK : 0
  }

  /** Reports whether the node takes the text from `from` to its end; `undefined` when that takes more than `maxWork`. */
  matches(text: string, from: number, maxWork: number): boolean | undefined {
    this.#dfa ??= new Dfa(this.automaton)
    return this.#dfa.matches(text, from, maxWork)
  }
}

const MAX_KEY_LENGTH = 1_000
const shared = new Map<string, WeakRef<LazyAutomaton>>()
const forgotten = new FinalizationRegistry<string>((key) => {
  if (shared.get(key)?.deref() === undefined) shared.delete(key)
})

/**
 * The automaton of a node, one for all patterns that hold the same node: many differ in their literal prefix only, and what
 * follows it, such as `.*`, is then compiled once. It lives as long as some pattern that uses it.
 */
export function sharedAutomaton(node: RegexNode): LazyAutomaton {
  const key = JSON.stringify(node)
  const known = shared.get(key)?.deref()
  if (known) return known
  const automaton = new LazyAutomaton(node)
  if (key.length <= MAX_KEY_LENGTH) {
    shared.set(key, new WeakRef(automaton))
    forgotten.register(automaton, key)
  }
  return automaton
}
