import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

interface Answer {
  status: number
  headers: Headers
  json: unknown
}

interface Header {
  required?: boolean
}

interface Response {
  /** Of a refusal: its codes, separated by commas. */
  description: string
  headers?: Record<string, Header | { $ref: string }>
  content?: Record<string, { schema: object }>
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>
  components: { headers: Record<string, Header> }
}

const document = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url), 'utf8')) as Document
const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)
ajv.addSchema(document, 'openapi')

const routes = Object.keys(document.paths).map((template) => ({
  template,
  pattern: new RegExp(`^${template.replaceAll(/[.*+?^$()|[\]\\]/g, '\\$&').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
}))
const compiled = new Map<string, ValidateFunction>()

/** Statuses that come before a route is known, so that the document names them nowhere. */
const beforeRouting = new Set([404, 405])

function pointer(...names: string[]): string {
  return names.map((name) => `/${encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('')
}

/** Headers that mean something to a caller: an answer has them only where the document says so. */
const meaningful = [
  'ETag',
  'Idempotency-Replayed',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
]

function assertHeaders(where: string, declared: NonNullable<Response['headers']>, headers: Headers): void {
  for (const [name, header] of Object.entries(declared)) {
    const { required } =
      '$ref' in header ? (document.components.headers[header.$ref.split('/').at(-1) ?? ''] ?? {}) : header
    assert.equal(typeof required, 'boolean', `${where}: openapi.json does not say whether ${name} is always there`)
    if (required) assert.ok(headers.has(name), `${where} has no ${name}`)
  }
  for (const name of meaningful)
    assert.ok(!headers.has(name) || name in declared, `${where}: ${name} is not in openapi.json`)
}

/**
 * Fails when an answer is not what `openapi/openapi.json` says: unknown status, error code or header, other type, a member
 * too many or too few, a header too few.
 */
export function assertDocumented(method: string, path: string, answer: Answer): void {
  const route = routes.find(({ pattern }) => pattern.test(path))
  if (!route && beforeRouting.has(answer.status)) return
  assert.ok(route, `${path} is not in openapi.json`)
  const verb = method.toLowerCase()
  const type = (answer.headers.get('content-type') ?? '').split(';')[0] ?? ''
  const response = document.paths[route.template]?.[verb]?.responses[String(answer.status)]
  const media = response?.content?.[type]
  assert.ok(
    response && media,
    `openapi.json has no ${answer.status} ${type} for ${method} ${route.template}: ${JSON.stringify(answer.json)?.slice(0, 300)}`,
  )
  const ref = `openapi#${pointer('paths', route.template, verb, 'responses', String(answer.status), 'content', type, 'schema')}`
  const validate = compiled.get(ref) ?? ajv.compile({ $ref: ref })
  compiled.set(ref, validate)
  assert.ok(validate(answer.json), `${method} ${path} ${answer.status}: ${ajv.errorsText(validate.errors)}`)
  const where = `${method} ${route.template} ${answer.status}`
  assertHeaders(where, response.headers ?? {}, answer.headers)
  const said = answer.json as { code?: string; error?: { code?: string } | null }
  const code = said.error?.code ?? said.code
  if (code !== undefined) assert.ok(response.description.split(', ').includes(code), `${where}: no ${code} there`)
}
