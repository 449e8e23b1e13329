import { attackClasses } from './attack-patterns.ts'
import { compilePattern, MAX_PATTERN_LENGTH } from './compile-pattern.ts'
import {
  type AttackClass,
  type CustomPattern,
  type InspectionConfig,
  type SchemaConfig,
  severities,
} from './guards-config.ts'
import type { DocumentLimits } from './parse-limits.ts'
import { PayloadSchema } from './payload-schema.ts'
import { type Problems, quote } from './problems.ts'
import { readTopics } from './read-topics.ts'
import { SchemaUnavailable } from './schema-unavailable.ts'
import type { WorkBudget } from './searcher.ts'
import { SectionReader } from './section-reader.ts'

/** Where a document takes its JSON schema from. */
export interface SchemaSource {
  /** `schema` holds it; `schema-file` names a file. The other key is refused. */
  readonly key: 'schema' | 'schema-file'
  /** @throws {SchemaUnavailable} */
  read(value: unknown): unknown
}

const DEFAULT_MAX_PAYLOAD = 262_144
const MAX_NAME_LENGTH = 64
/** What the keys of `patterns` turn on. */
const KEYS: Readonly<Record<AttackClass, string>> = {
  sqli: 'sqli',
  cmd: 'command-injection',
  xss: 'script-injection',
  path: 'path-traversal',
}

interface Context {
  readonly limits: DocumentLimits
  readonly problems: Problems
  readonly budget: WorkBudget
}

function parseCustomPattern(reader: SectionReader, names: Set<string>, { budget }: Context): CustomPattern | undefined {
  reader.require('name', 'pattern')
  const name = reader.text('name', MAX_NAME_LENGTH)
  const pattern = reader.text('pattern', MAX_PATTERN_LENGTH)
  const severity = reader.word('severity', severities) ?? 'medium'
  reader.done()
  if (name === '') reader.refuse('name', 'is empty')
  if (name !== undefined && names.has(name)) reader.refuse('name', `${quote(name)} occurs twice`)
  if (name !== undefined) names.add(name)
  if (pattern === undefined) return undefined
  const compiled = compilePattern(pattern, budget)
  if ('problem' in compiled) reader.refuse('pattern', compiled.problem)
  return name === undefined || 'problem' in compiled ? undefined : { name, severity, searcher: compiled.searcher }
}

function parsePatterns(reader: SectionReader, context: Context): Pick<InspectionConfig, 'classes' | 'customPatterns'> {
  const { limits, problems } = context
  const names = new Set<string>()
  const classes = attackClasses.filter((name) => reader.boolean(KEYS[name], false))
  const customPatterns = reader.list('custom-patterns', limits.customPatterns, (json, path) =>
    parseCustomPattern(new SectionReader(json, path, problems), names, context),
  )
  reader.done()
  return { classes, customPatterns }
}

function parseJsonSchema(reader: SectionReader, source: SchemaSource, context: Context): SchemaConfig | null {
  const { limits, problems, budget } = context
  const other = source.key === 'schema' ? 'schema-file' : 'schema'
  const advice = source.key === 'schema' ? 'carry the schema itself as schema' : 'name its file as schema-file'
  if (reader.has(other)) reader.refuse(other, `is not read here: ${advice}`)
  reader.require(source.key, 'topics')
  const value = reader.value(source.key)
  const topics = readTopics(reader, 'topics', limits.topics, problems)
  const blockOnFailure = reader.boolean('block-on-failure', true)
  reader.done()
  if (value === undefined) return null
  try {
    const compiled = PayloadSchema.compile(source.read(value), { maxSize: limits.schemaSize, budget })
    if ('schema' in compiled) return { topics, blockOnFailure, schema: compiled.schema }
    for (const problem of compiled.problems) reader.refuse(source.key, problem)
  } catch (err) {
    if (!(err instanceof SchemaUnavailable)) throw err
    reader.refuse(source.key, err.message)
  }
  return null
}

export function parseInspection(
  reader: SectionReader,
  source: SchemaSource,
  limits: DocumentLimits,
  problems: Problems,
): InspectionConfig {
  const context: Context = { limits, problems, budget: { left: limits.patternWork } }
  const jsonSchema = reader.sectionIfPresent('json-schema')
  const config: InspectionConfig = {
    enabled: reader.boolean('enabled', false),
    maxPayloadSize: reader.integer('max-payload-size', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? DEFAULT_MAX_PAYLOAD,
    ...parsePatterns(reader.section('patterns'), context),
    jsonSchema: jsonSchema ? parseJsonSchema(jsonSchema, source, context) : null,
    blockBinary: reader.boolean('block-binary', false),
    excludeTopics: readTopics(reader, 'exclude-topics', limits.topics, problems),
  }
  reader.done()
  return config
}
