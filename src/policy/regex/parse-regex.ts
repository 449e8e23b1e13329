import { anyCharacter } from './char-set.ts'
import { type RegexPart, type RegexProblem, RegexRefusal } from './pattern-cursor.ts'
import { copies, either, holeCount, programSize, type RegexNode, sequence } from './regex-node.ts'
import { type Alternative, RegexParser, type RegexSyntax } from './regex-parser.ts'

export interface RegexOptions extends RegexSyntax {
  /** Instructions that the compiled pattern may have. */
  readonly maxProgramSize?: number
}

/** Characters of a pattern, variables not counted. */
const MAX_PATTERN_LENGTH = 4_096
/** Copies that nested counted repetitions may come to; the engine refuses more. */
const MAX_COPIES = 1_000
/** Instructions of a compiled pattern, without the values of its variables. */
const MAX_PROGRAM_SIZE = 5_000
/** How often variables may stand in a pattern, repetitions written out. */
const MAX_HOLES = 8

function refuseText(parts: readonly RegexPart[]): void {
  let length = 0
  for (const part of parts) {
    if (typeof part !== 'string') continue
    if (!part.isWellFormed()) throw new RegexRefusal('not well-formed Unicode', length)
    length += part.length
    if (length > MAX_PATTERN_LENGTH)
      throw new RegexRefusal(`longer than ${MAX_PATTERN_LENGTH} characters`, MAX_PATTERN_LENGTH)
  }
}

function refuseSize(alternatives: readonly Alternative[], maxProgramSize: number): void {
  const node = either(alternatives.map((one) => one.node))
  if (copies(node) > MAX_COPIES)
    throw new RegexRefusal(`repetitions inside repetitions come to more than ${MAX_COPIES} copies`, 0)
  if (programSize(node) > maxProgramSize)
    throw new RegexRefusal(`written out, it comes to more than ${maxProgramSize} steps`, 0)
  if (holeCount(node) > MAX_HOLES)
    throw new RegexRefusal(`written out, it holds variables more than ${MAX_HOLES} times`, 0)
}

/**
 * Reads a pattern of the subset that means the same in `java.util.regex`: literals, `.`, classes, `\d \w \s` and negations,
 * escapes, `\Q…\E`, groups, alternation, `* + ? {m,n}`, greedy or lazy.
 *
 * @returns the alternatives of the pattern, or the first problem
 */
export function parseRegex(
  parts: readonly RegexPart[],
  options: RegexOptions = {},
): readonly Alternative[] | RegexProblem {
  try {
    refuseText(parts)
    const alternatives = new RegexParser(parts, options).parse()
    refuseSize(alternatives, options.maxProgramSize ?? MAX_PROGRAM_SIZE)
    return alternatives
  } catch (err) {
    if (!(err instanceof RegexRefusal)) throw err
    return { message: err.message, position: err.position }
  }
}

/** An alternative as it is searched for: free ends take any text. */
export function searched({ node, isAtStart, isAtEnd }: Alternative): RegexNode {
  const anything: RegexNode = {
    kind: 'repeat',
    item: { kind: 'one', set: anyCharacter },
    min: 0,
    max: Number.POSITIVE_INFINITY,
  }
  return sequence([...(isAtStart ? [] : [anything]), node, ...(isAtEnd ? [] : [anything])])
}
