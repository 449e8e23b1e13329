import { childrenOf, ownWeight, type SchemaNode, type SchemaOutline } from './schema-outline.ts'

/** How often a part of a message is looked at, at most: once for every schema that can reach it, references followed. */
export interface SchemaCost {
  /** Looks at one value of a message. */
  readonly perValue: number
  /** Searches of one text. */
  readonly perText: number
}

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
    problem ??= `${JSON.stringify(node.pointer)} ${message}`
    return { perValue: 0, perText: 0 }
  }
  const measure = (node: SchemaNode): SchemaCost => {
    const cost = known.get(node)
    if (cost === 'open') return refuse(node, 'refers to itself: the cost of a message would have no bound')
    if (cost) return cost
    known.set(node, 'open')
    const target = node.ref === null ? undefined : outline.target(node.ref)
    if (node.ref !== null && !target)
      refuse(node, 'refers to what is not a schema of this document; others are not fetched')
    const parts = [...childrenOf(node), ...(target ? [target] : [])].map(measure)
    const sum = {
      perValue: parts.reduce((total, part) => total + part.perValue, ownWeight(node)),
      perText: parts.reduce((total, part) => total + part.perText, textWeight(node)),
    }
    known.set(node, sum)
    return sum
  }

  const cost = measure(outline.root)
  return problem === undefined ? cost : { problem }
}
