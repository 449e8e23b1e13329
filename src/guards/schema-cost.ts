import { quote } from './problems.ts'
import { childrenOf, ownWeight, type SchemaNode, type SchemaOutline } from './schema-outline.ts'

/** How often a part of a message is looked at, at most: once for every schema that can reach it, references followed. */
export interface SchemaCost {
  /** Looks at one value of a message. */
  readonly perValue: number
  /** Searches of one text. */
  readonly perText: number
}

/** References that lead to one another. */
const MAX_REFERENCES = 256

/** Places that search a text, or read it to compare it. */
function textWeight({ assertions, applicators }: SchemaNode): number {
  const own = typeof assertions === 'object' ? assertions : {}
  const searched = Number(own['pattern'] !== undefined) + Number(own['uniqueItems'] !== undefined)
  const patterns = applicators.find(([keyword]) => keyword === 'patternProperties')?.[1]
  return searched + (patterns instanceof Map ? 2 * patterns.size : 0) // additionalProperties asks them again
}

/**
 * Adds up what a message can cost. Two references to one schema count twice, so that thirty lines which double each other
 * come to what they would cost; a schema that reaches itself has no bound, and is refused.
 */
export function measureSchema(outline: SchemaOutline): SchemaCost | { problem: string } {
  const known = new Map<SchemaNode, SchemaCost | 'open'>()
  let problem: string | undefined

  const refuse = (node: SchemaNode, message: string): SchemaCost => {
    problem ??= `${quote(node.pointer)} ${message}`
    return { perValue: 0, perText: 0 }
  }
  const measure = (node: SchemaNode, references: number): SchemaCost => {
    const cost = known.get(node)
    if (cost === 'open') return refuse(node, 'refers to itself: the cost of a message would have no bound')
    if (cost) return cost
    if (references > MAX_REFERENCES) return refuse(node, `is behind more than ${MAX_REFERENCES} references`)
    known.set(node, 'open')
    const target = node.ref === null ? undefined : outline.target(node.ref)
    const parts = childrenOf(node).map((child) => measure(child, references))
    if (target) parts.push(measure(target, references + 1))
    const sum = {
      perValue: parts.reduce((total, part) => total + part.perValue, ownWeight(node)),
      perText: parts.reduce((total, part) => total + part.perText, textWeight(node)),
    }
    known.set(node, sum)
    return sum
  }

  const cost = measure(outline.root, 0)
  return problem === undefined ? cost : { problem }
}
