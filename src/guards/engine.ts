import { RE2Set } from 're2js'

/** A state of an automaton: the instructions of its patterns that a text may have reached. */
export interface EngineState {
  readonly isMatch: boolean
  readonly nfaStates: readonly number[]
}

/** The automaton that re2js walks, which makes its states on the way. The version is pinned; a test compares the answers. */
export interface Engine {
  readonly numClasses: number
  /** First code point of every class of characters but the first. */
  readonly classBounds: Int32Array
  start(input: { context(): number }, position: number): EngineState | null
  step(state: EngineState, characterClass: number, codePoint: number, anchor: number): EngineState | null
}

interface Closure {
  /** Sorted. */
  readonly pcs: number[]
  /** Conditions (`^`, `$`, `\b`) that would reach further. */
  readonly needflags: number
}

type CloseOver = (pcs: readonly number[], flags: number) => Closure

/**
 * Remembers what is reached from each instruction without a character. Of several it is the union, and asking for it
 * anew takes most of the time that making a state takes.
 */
function rememberClosures(closeOver: CloseOver, instructions: number): CloseOver {
  const known = new Map<number, Closure[]>()
  const seen = new Uint32Array(instructions)
  let round = 0
  return (pcs, flags) => {
    const ofFlags = known.get(flags) ?? []
    known.set(flags, ofFlags)
    round++
    let needflags = 0
    let lowest = instructions
    let highest = -1
    for (const pc of pcs) {
      const one = ofFlags[pc] ?? closeOver([pc], flags)
      ofFlags[pc] = one
      needflags |= one.needflags
      for (const reached of one.pcs) seen[reached] = round
      lowest = Math.min(lowest, one.pcs[0] ?? lowest)
      highest = Math.max(highest, one.pcs.at(-1) ?? highest)
    }
    const union: number[] = []
    for (let pc = lowest; pc <= highest; pc++) if (seen[pc] === round) union.push(pc)
    return { pcs: union, needflags }
  }
}

/**
 * Makes the automaton that searches for any of some patterns.
 *
 * @throws {RE2JSException} for what is not RE2 syntax
 */
export function createEngine(patterns: readonly string[]): Engine {
  const set = new RE2Set(RE2Set.UNANCHORED, 0, Number.POSITIVE_INFINITY)
  for (const pattern of patterns) set.add(pattern)
  set.compile()
  const automaton = set.dfa
  const closeOver: CloseOver = automaton.closure.bind(automaton)
  automaton.closure = rememberClosures(closeOver, set.prog.numInst())
  return automaton
}
