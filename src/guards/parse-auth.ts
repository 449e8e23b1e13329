import { Secret } from '../core/secret.ts'
import { compilePattern, MAX_PATTERN_LENGTH } from './compile-pattern.ts'
import { type Environment, expandEnv } from './expand-env.ts'
import type { AuthConfig, AuthProvider, CertificateField } from './guards-config.ts'
import type { Problems } from './problems.ts'
import type { Searcher } from './searcher.ts'
import { SectionReader, textProblem } from './section-reader.ts'

const MAX_TEXT = 4_096
const MAX_PROVIDERS = 32
const MAX_HEADERS = 64
const LENGTH = { min: 0, max: 65_535 }
const PATTERN_WORK = 2_000_000
const FIELDS: readonly CertificateField[] = ['common_name', 'subject_alternative_name', 'serial_number']

function secretOf(value: unknown, path: string, env: Environment, problems: Problems): Secret | undefined {
  const problem = textProblem(value, MAX_TEXT)
  const expanded = problem === undefined ? expandEnv(value as string, env) : undefined
  if (expanded && 'text' in expanded) return new Secret(expanded.text)
  problems.add(path, problem ?? `names environment variables that are not set: ${expanded?.unset.join(', ')}`)
  return undefined
}

function headersOf(reader: SectionReader, env: Environment, problems: Problems): Record<string, Secret> {
  const headers: Record<string, Secret> = {}
  const json = reader.value('headers')
  if (json === undefined) return headers
  const section = new SectionReader(json, reader.at('headers'), problems)
  const names = section.keys()
  if (names.length > MAX_HEADERS) reader.refuse('headers', `has more than ${MAX_HEADERS} members`)
  for (const name of names.slice(0, MAX_HEADERS)) {
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || name === '__proto__') section.refuse(name, 'is not the name of a header')
    const value = secretOf(section.value(name), section.at(name), env, problems)
    if (value && name !== '__proto__') headers[name] = value
  }
  return headers
}

function parseProvider(json: unknown, path: string, env: Environment, problems: Problems): AuthProvider | undefined {
  const reader = new SectionReader(json, path, problems, { snake: true })
  reader.require('type')
  const type = reader.word('type', ['file', 'jwt', 'http', 'certificate'])
  const text = (key: string) => reader.text(key, MAX_TEXT) ?? null
  const provider = ((): AuthProvider | undefined => {
    if (type === 'file') {
      reader.require('path')
      return { type, path: text('path') ?? '', hotReload: reader.boolean('hot-reload', false) }
    }
    if (type === 'jwt') {
      const secret = reader.value('secret')
      return {
        type,
        issuer: text('issuer'),
        audience: text('audience'),
        jwksUrl: text('jwks-url'),
        secret: secret === undefined ? null : (secretOf(secret, reader.at('secret'), env, problems) ?? null),
        usernameClaim: text('username-claim') ?? 'sub',
      }
    }
    if (type === 'http') {
      reader.require('url')
      const timeoutMs = reader.integer('timeout-ms', { min: 1, max: 60_000 }) ?? 5_000
      return { type, url: text('url') ?? '', timeoutMs, headers: headersOf(reader, env, problems) }
    }
    return type && { type, extractFrom: reader.word('extract-from', FIELDS) ?? 'common_name' }
  })()
  if (type !== undefined) reader.done()
  return provider
}

function parseClientIdPattern(reader: SectionReader): Searcher | null {
  const pattern = reader.text('client-id-pattern', MAX_PATTERN_LENGTH)
  if (pattern === undefined) return null
  const compiled = compilePattern(pattern, { left: PATTERN_WORK })
  if ('searcher' in compiled) return compiled.searcher
  reader.refuse('client-id-pattern', compiled.problem)
  return null
}

/** `${NAME}` is expanded in secrets and header values, and nowhere else. */
export function parseAuth(reader: SectionReader, env: Environment, problems: Problems): AuthConfig {
  const config: AuthConfig = {
    enabled: reader.boolean('enabled', false),
    allowAnonymous: reader.boolean('allow-anonymous', false),
    providers: reader.list('providers', MAX_PROVIDERS, (json, path) => parseProvider(json, path, env, problems)),
    clientIdPattern: parseClientIdPattern(reader),
    minClientIdLength: reader.integer('min-client-id-length', LENGTH) ?? 1,
    maxClientIdLength: reader.integer('max-client-id-length', LENGTH) ?? 128,
  }
  reader.done()
  if (config.minClientIdLength > config.maxClientIdLength)
    reader.refuse('min-client-id-length', 'is more than max-client-id-length: no client could connect')
  return config
}
