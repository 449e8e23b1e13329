import { countValues } from './measure-json.ts'
import { quote } from './problems.ts'
import { childrenOf, ownWeight, type SchemaNode, type SchemaOutline } from './schema-outline.ts'

/** What a part of a message costs, at most: once for every schema that can reach it, references followed. */
export interface SchemaCost {
  /** Looks at one value of a message, of ten nanoseconds. */
  readonly perValue: number
  /** Searches of one text. */
  readonly perText: number
  /** Nanoseconds that one character of a text takes. */
  readonly perCharacter: number
}

/** References that lead to one another. */
const MAX_REFERENCES = 256

/**
 * Looks that take as long as beginning a search or a format does, as writing an element down to compare it, as counting
 * a member, and as what the validator notes of a schema that does not fit where another may.
 */
const SEARCH_LOOKS = 50
const FORMAT_LOOKS = 10
const COMPARED_LOOKS = 60
const COUNTED_LOOKS = 25
const BRANCH_LOOKS = 90
/** Nanoseconds for a character, of the slowest text that was found: of a format, that is a `date-time` that is none. */
const SEARCH_NS = 12
const LENGTH_NS = 3
const FORMAT_NS = 40
const EQUAL_NS = 0.05

const NOTHING: SchemaCost = { perValue: 0, perText: 0, perCharacter: 0 }

function sumOf(costs: readonly SchemaCost[]): SchemaCost {
  const add = (a: SchemaCost, b: SchemaCost): SchemaCost => ({
    perValue: a.perValue + b.perValue,
    perText: a.perText + b.perText,
    perCharacter: a.perCharacter + b.perCharacter,
  })
  return costs.reduce(add, NOTHING)
}

/** Schemas of a node that may fail, and the validation goes on. */
function branchesOf({ applicators }: SchemaNode): number {
  return applicators.reduce((sum, [keyword, schemas]) => {
    if (keyword === 'contains') return sum + 1
    return keyword === 'anyOf' || keyword === 'oneOf' ? sum + (schemas as readonly SchemaNode[]).length : sum
  }, 0)
}

/** What one schema costs without those in it. */
function ownCost(node: SchemaNode): SchemaCost {
  const own = typeof node.assertions === 'object' ? node.assertions : {}
  const has = (keyword: string) => Number(own[keyword] !== undefined)
  const named = node.applicators.find(([keyword]) => keyword === 'patternProperties')?.[1]
  const searches = has('pattern') + (named instanceof Map ? 2 * named.size : 0) // additionalProperties asks them again
  const perText = searches + has('uniqueItems')
  return {
    perValue:
      ownWeight(node) +
      SEARCH_LOOKS * searches +
      FORMAT_LOOKS * has('format') +
      COMPARED_LOOKS * has('uniqueItems') +
      COUNTED_LOOKS * (has('minProperties') + has('maxProperties')) +
      BRANCH_LOOKS * branchesOf(node),
    perText,
    perCharacter:
      SEARCH_NS * perText +
      LENGTH_NS * (has('minLength') + has('maxLength')) +
      FORMAT_NS * has('format') +
      EQUAL_NS * (countValues(own['const'] ?? []) + countValues(own['enum'] ?? [])),
  }
}

/**
 * Adds up what a message can cost, a character as often as its text is read. Two references to one schema count twice, so
 * that thirty lines which double each other come to what they would cost; a schema that reaches itself has no bound, and is
 * refused.
 */
export function measureSchema(outline: SchemaOutline): SchemaCost | { problem: string } {
  const known = new Map<SchemaNode, SchemaCost | 'open'>()
  let problem: string | undefined

  const refuse = (node: SchemaNode, message: string): SchemaCost => {
    problem ??= `${quote(node.pointer)} ${message}`
    return NOTHING
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
    const sum = sumOf([ownCost(node), ...parts])
    known.set(node, sum)
    return sum
  }

  const cost = measure(outline.root, 0)
  return problem === undefined ? cost : { problem }
}
