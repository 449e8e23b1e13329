import { Ajv2020, type AnySchema, type ValidateFunction } from 'ajv/dist/2020.js'
import { parseStrictJson } from '../core/strict-json.ts'
import { areUnique } from './canonical-json.ts'
import { cleanSchema } from './clean-schema.ts'
import { compilePattern, MAX_PATTERN_LENGTH } from './compile-pattern.ts'
import { ecmaToRe2 } from './ecma-pattern.ts'
import { boundProblem, countValues } from './measure-json.ts'
import { quote } from './problems.ts'
import { measureSchema, type SchemaCost } from './schema-cost.ts'
import { formatNames, formatTest } from './schema-formats.ts'
import { SchemaOutline } from './schema-outline.ts'
import type { Searcher, WorkBudget } from './searcher.ts'

const MAX_SCHEMA_DEPTH = 64
const MAX_SCHEMA_VALUES = 5_000
/** Schemas of a document once references stand for themselves, which is what the validator makes code of. */
const MAX_NODES = 250
/** Looks at one value of a message. */
const MAX_COST_PER_VALUE = 20_000
const MAX_COST_PER_TEXT = 64

const messageJson = { maxDepth: 64, maxMembers: 100_000 }
/** What one message may take, by the costs of the schema; a message that could take longer is refused before. */
const MAX_TIME_NS = 40_000_000
const LOOK_NS = 10

export interface SchemaOptions {
  /** Characters of its names and texts. */
  readonly maxSize: number
  /** What its patterns may cost to make. */
  readonly budget: WorkBudget
}

export type CompiledSchema = { readonly schema: PayloadSchema } | { readonly problems: readonly string[] }

/** Options that nothing in a schema can change. What a schema is made of was checked before; these are for the rest. */
const strictOptions = {
  strictSchema: true,
  strictNumbers: true,
  strictTypes: false,
  strictTuple: false,
  strictRequired: false,
  allowUnionTypes: true,
  /** Without it the validator tries native regular expressions on names of the schema. */
  allowMatchingProperties: true,
  ownProperties: true,
  allErrors: false,
  $data: false,
  inlineRefs: false,
  addUsedSchema: false,
  logger: false,
} as const

let metaSchema: Ajv2020 | undefined

/** Says why a schema is none; `undefined` when it is one. */
function metaSchemaProblem(schema: AnySchema): string | undefined {
  metaSchema ??= new Ajv2020({ ...strictOptions, validateFormats: false })
  if (metaSchema.validateSchema(schema) === true) return undefined
  const [error] = metaSchema.errors ?? []
  return `${quote(`#${error?.instancePath ?? ''}`)} ${error?.message ?? 'is not JSON Schema 2020-12'}`
}

/** A pattern under the name that the validator knows it by. */
class NamedPattern {
  readonly #pattern: string
  readonly #searcher: Searcher

  constructor(pattern: string, searcher: Searcher) {
    this.#pattern = pattern
    this.#searcher = searcher
  }

  test(text: string): boolean {
    return this.#searcher.search(text)
  }

  toString(): string {
    return this.#pattern
  }
}

function compilePatterns(outline: SchemaOutline, budget: WorkBudget): Map<string, Searcher> {
  const searchers = new Map<string, Searcher>()
  for (const [pattern, pointer] of outline.patterns) {
    const translated =
      pattern.length > MAX_PATTERN_LENGTH ? { problem: `is longer than ${MAX_PATTERN_LENGTH}` } : ecmaToRe2(pattern)
    const compiled = 're2' in translated ? compilePattern(translated.re2, budget) : translated
    if ('searcher' in compiled) searchers.set(pattern, compiled.searcher)
    else outline.problems.push(`${quote(pointer)} ${compiled.problem}`)
  }
  return searchers
}

function createValidator(schema: AnySchema, searchers: ReadonlyMap<string, Searcher>): ValidateFunction {
  const regExp = (pattern: string) => {
    const searcher = searchers.get(pattern)
    if (!searcher) throw new Error('a pattern that was not compiled')
    return new NamedPattern(pattern, searcher)
  }
  const ajv = new Ajv2020({
    ...strictOptions,
    meta: false,
    validateSchema: false,
    code: { regExp: Object.assign(regExp, { code: 'patterns of the schema' }), optimize: false },
  })
  for (const name of formatNames) ajv.addFormat(name, formatTest(name))
  ajv.removeKeyword('uniqueItems') // compares each element with each
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (wanted: boolean, elements: readonly unknown[]) => !wanted || areUnique(elements),
    errors: false,
  })
  return ajv.compile(schema)
}

const FOLLOWED = 'each counted as often as references lead to it'

function costProblem({ perValue, perText }: SchemaCost): string | undefined {
  if (perValue > MAX_COST_PER_VALUE)
    return `takes more than ${MAX_COST_PER_VALUE} looks at a value, ${FOLLOWED}; a choice and a pattern take the most`
  return perText > MAX_COST_PER_TEXT ? `has more than ${MAX_COST_PER_TEXT} patterns, ${FOLLOWED}` : undefined
}

/** A JSON Schema 2020-12 that payloads are held against, with every `format` asserted. */
export class PayloadSchema {
  readonly #validate: ValidateFunction
  readonly #cost: SchemaCost

  private constructor(validate: ValidateFunction, cost: SchemaCost) {
    this.#validate = validate
    this.#cost = cost
  }

  /** Compiles a schema that anybody may have written: the time it takes, and the time a message takes, have bounds. */
  static compile(json: unknown, { maxSize, budget }: SchemaOptions): CompiledSchema {
    const bounds = { maxDepth: MAX_SCHEMA_DEPTH, maxValues: MAX_SCHEMA_VALUES, maxCharacters: maxSize }
    const beyond = boundProblem(json, bounds)
    if (beyond !== undefined) return { problems: [beyond] }
    const outline = new SchemaOutline(json)
    const searchers = compilePatterns(outline, budget)
    if (outline.problems.length > 0) return { problems: outline.problems }
    const cost = measureSchema(outline)
    if ('problem' in cost) return { problems: [cost.problem] }
    const schema = cleanSchema(outline, MAX_NODES)
    if (schema === undefined) return { problems: [`has more than ${MAX_NODES} schemas in it`] }
    const costly = costProblem(cost)
    if (costly !== undefined) return { problems: [costly] }
    const problem = metaSchemaProblem(schema)
    if (problem !== undefined) return { problems: [problem] }
    try {
      return { schema: new PayloadSchema(createValidator(schema, searchers), cost) }
    } catch (err) {
      return { problems: [`is refused by the validator: ${quote(err instanceof Error ? err.message : String(err))}`] }
    }
  }

  /** Says why a payload does not fit, without a word of it; `undefined` when it does. */
  problemOf(text: string): string | undefined {
    let value: unknown
    try {
      value = parseStrictJson(text, messageJson)
    } catch {
      return 'it is not JSON, names a member twice, or is nested too deeply'
    }
    const { perValue, perCharacter } = this.#cost
    if (countValues(value) * perValue * LOOK_NS + text.length * perCharacter > MAX_TIME_NS)
      return 'it is too large to be held against this schema'
    try {
      if (this.#validate(value)) return undefined
    } catch {
      return 'it cannot be held against this schema' // an own member `valueOf` or such; never a way around the schema
    }
    const [error] = this.#validate.errors ?? []
    return `${error?.message ?? 'it does not fit'} (${error?.schemaPath ?? '#'})`
  }
}
