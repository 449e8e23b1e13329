import { RE2JS } from 're2js'
import { type CharSet, charSet } from './char-set.ts'
import type { RegexNode } from './regex-node.ts'

/** Kinds of instructions. */
export const FAIL = 0
/** Goes on at `out` and at `other`. */
export const SPLIT = 1
/** Takes one character of `sets` and goes on at `out`. */
export const TAKE = 2
export const MATCH = 3

/** A non-deterministic automaton, instruction by instruction. It has no assertions and no captures. */
export interface Program {
  readonly start: number
  readonly kinds: Uint8Array
  readonly out: Int32Array
  readonly other: Int32Array
  /** Empty but for `TAKE`. */
  readonly sets: readonly CharSet[]
}

/** First code point of the private plane from which every distinct set gets its sign. */
const FIRST_SIGN = 0xf0000
const SIGNS = 0xfffe

/** What re2js 2.10.0 makes of a pattern; its declarations leave it untyped. */
interface EngineProgram {
  readonly start: number
  readonly inst: readonly {
    readonly op: number
    readonly out: number
    readonly arg: number
    readonly runes: Int32Array
  }[]
}

/** Numbers of instructions in re2js. */
const OP = { ALT: 1, ALT_MATCH: 2, FAIL: 5, MATCH: 6, NOP: 7, RUNE: 8, RUNE1: 9 } as const

/** Gives each distinct set one private-use character. */
class Signs {
  readonly #signs = new Map<string, string>()
  readonly sets: CharSet[] = []

  signOf(set: CharSet): string {
    const key = set.join()
    let sign = this.#signs.get(key)
    if (sign === undefined) {
      if (this.sets.length === SIGNS) throw new RangeError(`more than ${SIGNS} distinct characters and classes`)
      sign = String.fromCodePoint(FIRST_SIGN + this.sets.length)
      this.sets.push(set)
      this.#signs.set(key, sign)
    }
    return sign
  }

  /** Unites the sets of all signs in an instruction of the engine. */
  setOf(runes: Int32Array): CharSet {
    const [first, end = first] = runes
    if (first === end && runes.length <= 2) return this.sets[(first as number) - FIRST_SIGN] as CharSet
    const pairs: number[] = []
    for (let i = 0; i < runes.length; i += 2) {
      const last = runes[i + 1] as number
      for (let sign = runes[i] as number; sign <= last; sign++) pairs.push(...(this.sets[sign - FIRST_SIGN] as CharSet))
    }
    return charSet(pairs)
  }
}

function write(node: RegexNode, signs: Signs): string {
  switch (node.kind) {
    case 'one':
      return signs.signOf(node.set)
    case 'hole':
      throw new TypeError('a variable has no value yet')
    case 'sequence':
      return node.items.map((item) => write(item, signs)).join('')
    case 'either':
      return `(?:${node.options.map((option) => write(option, signs)).join('|')})`
    case 'repeat': {
      const { min, max } = node
      return `(?:${write(node.item, signs)}){${min},${max === Number.POSITIVE_INFINITY ? '' : max}}`
    }
  }
}

/**
 * Compiles a node without variables. The engine, re2js, sees neither characters nor classes: each set stands as one character
 * of a private plane, so that nothing in a pattern can mean to the engine what it did not mean to `parseRegex`.
 */
export function compileProgram(node: RegexNode): Program {
  const signs = new Signs()
  const program: EngineProgram = RE2JS.compile(write(node, signs)).re2Input.prog
  const count = program.inst.length
  const kinds = new Uint8Array(count)
  const out = new Int32Array(count)
  const other = new Int32Array(count)
  const sets: CharSet[] = []
  for (const [pc, inst] of program.inst.entries()) {
    out[pc] = inst.out
    other[pc] = inst.arg // of a NOP 0, where instruction 0 fails
    sets.push(inst.op === OP.RUNE || inst.op === OP.RUNE1 ? signs.setOf(inst.runes) : [])
    kinds[pc] = kindOf(inst.op)
  }
  return { start: program.start, kinds, out, other, sets }
}

function kindOf(op: number): number {
  switch (op) {
    case OP.FAIL:
      return FAIL
    case OP.ALT:
    case OP.ALT_MATCH:
    case OP.NOP:
      return SPLIT
    case OP.MATCH:
      return MATCH
    case OP.RUNE:
    case OP.RUNE1:
      return TAKE
    default:
      throw new TypeError(`re2js made an instruction that is not known here: ${op}`)
  }
}
