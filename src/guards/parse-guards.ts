import type { Environment } from './expand-env.ts'
import type { GatewayConfig, GuardsConfig } from './guards-config.ts'
import { parseAcl } from './parse-acl.ts'
import { parseAuth } from './parse-auth.ts'
import { parseGeneral, parseModes } from './parse-general.ts'
import { parseInspection, type SchemaSource } from './parse-inspection.ts'
import { type DocumentLimits, gatewayLimits, integrationLimits } from './parse-limits.ts'
import { parseQos } from './parse-qos.ts'
import { parseRateLimit } from './parse-rate-limit.ts'
import { parseRetained } from './parse-retained.ts'
import { type GuardProblem, Problems } from './problems.ts'
import { readSchemaFile } from './read-schema-file.ts'
import { SectionReader } from './section-reader.ts'

export interface ParseOptions {
  /** The `guards` of an integration, which its tenant wrote, or the file of a gateway, which the operator did. */
  readonly source: 'integration' | 'gateway'
  readonly limits?: Partial<DocumentLimits>
  /** Variables for `${NAME}` in secrets of a gateway. */
  readonly env?: Environment
}

export type ParsedGuards<Config> =
  | { readonly guards: Config; readonly problems: readonly [] }
  | { readonly guards: undefined; readonly problems: readonly GuardProblem[] }

function parseSections(
  reader: SectionReader,
  source: SchemaSource,
  limits: DocumentLimits,
  problems: Problems,
): Omit<GuardsConfig, 'general'> {
  return {
    rateLimit: parseRateLimit(reader.section('rate-limit'), limits, problems),
    qos: parseQos(reader.section('qos'), limits, problems),
    retained: parseRetained(reader.section('retained'), limits, problems),
    inspection: parseInspection(reader.section('inspection'), source, limits, problems),
  }
}

function parseIntegration(json: unknown, limits: DocumentLimits, problems: Problems): GuardsConfig {
  const reader = new SectionReader(json, '', problems)
  const source: SchemaSource = { key: 'schema', read: (schema) => schema }
  const guards = { ...parseSections(reader, source, limits, problems), general: parseModes(reader.section('general')) }
  reader.done()
  return guards
}

function parseGateway(json: unknown, limits: DocumentLimits, env: Environment, problems: Problems): GatewayConfig {
  const reader = new SectionReader(json, '', problems)
  const source: SchemaSource = { key: 'schema-file', read: (path) => readSchemaFile(path, limits.schemaSize) }
  const guards = {
    auth: parseAuth(reader.section('auth'), env, problems),
    acl: parseAcl(reader.section('acl'), limits, problems),
    ...parseSections(reader, source, limits, problems),
    general: parseGeneral(reader.section('general'), problems),
  }
  reader.done()
  return guards
}

/**
 * Parses a document of guards from JSON: kebab-case, unknown keys refused, every problem told at once. An integration
 * has the sections `rate-limit`, `qos`, `retained`, `inspection` and, for its modes, `general`, and carries its JSON
 * schema as `schema`; a gateway adds `auth` and `acl`, and names the file of its schema.
 */
export function parseGuards(
  json: unknown,
  options: ParseOptions & { readonly source: 'gateway' },
): ParsedGuards<GatewayConfig>
export function parseGuards(json: unknown, options: ParseOptions): ParsedGuards<GuardsConfig>
export function parseGuards(json: unknown, { source, limits, env = {} }: ParseOptions): ParsedGuards<GuardsConfig> {
  const problems = new Problems()
  const guards =
    source === 'gateway'
      ? parseGateway(json, { ...gatewayLimits, ...limits }, env, problems)
      : parseIntegration(json, { ...integrationLimits, ...limits }, problems)
  return problems.found.length === 0 ? { guards, problems: [] } : { guards: undefined, problems: problems.found }
}
