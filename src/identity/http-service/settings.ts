import { z } from 'zod'
import { secretSourceSchema } from '../secret-source.ts'
import { type Placeholder, parseTemplate, slotsOf, type Template } from './template.ts'

const MAX_MEMBERS = 64
const MAX_TEXT = 4_096

/** Made by HTTP itself, or by us. */
const OWN_HEADERS = /^(host|connection|content-length|content-type|transfer-encoding|upgrade|expect|te|trailer)$/i
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, 'must be the name of a header')
  .refine((name) => !OWN_HEADERS.test(name), 'is a header that is set by us')

const template = z
  .string()
  .max(MAX_TEXT)
  .transform((text, ctx): Template => {
    const parsed = parseTemplate(text)
    if (!('problem' in parsed)) return parsed
    ctx.addIssue({ code: 'custom', message: parsed.problem })
    return z.NEVER
  })

/** A JSON value whose texts are templates; placeholders stand in values only, never in names of members. */
export type BodyTemplate =
  | { readonly kind: 'text'; readonly template: Template }
  | { readonly kind: 'constant'; readonly value: number | boolean | null }
  | { readonly kind: 'list'; readonly items: readonly BodyTemplate[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [name: string, value: BodyTemplate])[] }

const name = z.string().min(1).max(256)

const bodyValue: z.ZodType<BodyTemplate, unknown> = z.lazy(() =>
  z.union([
    template.transform((text): BodyTemplate => ({ kind: 'text', template: text })),
    z.union([z.number(), z.boolean(), z.null()]).transform((value): BodyTemplate => ({ kind: 'constant', value })),
    z
      .array(bodyValue)
      .max(MAX_MEMBERS)
      .transform((items): BodyTemplate => ({ kind: 'list', items })),
    z
      .record(name, bodyValue)
      .transform((members): BodyTemplate => ({ kind: 'object', members: Object.entries(members) })),
  ]),
)

const pairs = z
  .record(name, template)
  .refine((members) => Object.keys(members).length <= MAX_MEMBERS, `at most ${MAX_MEMBERS} members`)

/** What a service is told when nothing else is said: as TBMQ's own template has it. */
const DEFAULT_BODY = { clientId: '${clientId}', username: '${username}', password: '${password}' }

function isServiceUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) return false
  return url.username === '' && url.password === '' && !text.includes('${')
}

/** The places of a request that may hold placeholders. */
interface Places {
  readonly query: Readonly<Record<string, Template>>
  readonly headers: Readonly<Record<string, Template | object>>
  readonly form?: Readonly<Record<string, Template>> | undefined
  readonly body?: BodyTemplate | undefined
}

function templatesOfBody(body: BodyTemplate): readonly Template[] {
  if (body.kind === 'text') return [body.template]
  if (body.kind === 'constant') return []
  return (body.kind === 'list' ? body.items : body.members.map(([, value]) => value)).flatMap(templatesOfBody)
}

/** Every template of a request, wherever it stands. */
export function templatesOf({ query, headers, form = {}, body }: Places): readonly Template[] {
  const inHeaders = Object.values(headers).filter((value) => Array.isArray(value))
  return [
    ...Object.values(query),
    ...(inHeaders as readonly Template[]),
    ...Object.values(form),
    ...(body ? templatesOfBody(body) : []),
  ]
}

/** Every placeholder of a request. */
function namesOf(places: Places): readonly Placeholder[] {
  return templatesOf(places)
    .flatMap(slotsOf)
    .map((slot) => slot.name)
}

/** A section of `providers` with `"type": "http"`: a service of the operator that is asked who a client is. */
export const httpProviderSchema = z
  .strictObject({
    type: z.literal('http'),
    url: z
      .string()
      .max(2_048)
      .refine(
        isServiceUrl,
        'must be an http or https URL without user, password and placeholders; those go to `query`',
      ),
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH']).default('POST'),
    query: pairs.default({}),
    /** A template, or where the operator keeps a secret such as the service's own token. */
    headers: z
      .record(headerName, z.union([template, secretSourceSchema]))
      .refine((headers) => Object.keys(headers).length <= MAX_MEMBERS, `at most ${MAX_MEMBERS} members`)
      .default({}),
    /** `Authorization: Basic` of ours at the service. */
    basic: z
      .strictObject({ username: z.string().regex(/^[^:\p{Cc}]{1,256}$/u), password: secretSourceSchema })
      .optional(),
    body: bodyValue.optional(),
    form: pairs.optional(),
    tls: z
      .strictObject({
        ca: secretSourceSchema.optional(),
        certificate: secretSourceSchema.optional(),
        key: secretSourceSchema.optional(),
      })
      .refine(
        (tls) => (tls.certificate === undefined) === (tls.key === undefined),
        'has both `certificate` and `key` or none',
      )
      .optional(),
    /** PEM of the CAs of clients: without it there is no `${commonName}`. */
    client_ca: secretSourceSchema.optional(),
    timeout_ms: z.number().int().min(50).max(25_000).default(5_000),
    parallel: z.number().int().min(1).max(256).default(100),
    waiting: z.number().int().min(0).max(10_000).default(1_000),
    max_answer_bytes: z.number().int().min(64).max(262_144).default(65_536),
    /** What a client is when the answer does not say. */
    client_type: z.enum(['device', 'application', 'service', 'user']).default('device'),
    /** How long an answer holds at most; then the client has to log in anew. */
    session_s: z.number().int().min(60).max(604_800).default(86_400),
    /** How long a yes serves the same question again, so that a broker that asked in vain once need not wait twice. */
    remember_s: z.number().int().min(0).max(5).default(5),
  })
  .superRefine(({ method, body, form, url, basic, headers }, ctx) => {
    const fault = (member: string, message: string) => ctx.addIssue({ code: 'custom', path: [member], message })
    if (body !== undefined && form !== undefined) fault('form', 'stands beside `body`; a request has one of them')
    if (method === 'GET' && (body ?? form) !== undefined) fault('method', 'GET has no body; use `query`')
    const authorises = Object.keys(headers).some((header) => header.toLowerCase() === 'authorization')
    if (basic !== undefined && authorises) fault('basic', 'stands beside a header `authorization`')
    const names = Object.keys(headers).map((header) => header.toLowerCase())
    if (new Set(names).size < names.length) fault('headers', 'names a header twice')
    if (URL.parse(url)?.hash !== '') fault('url', 'has a fragment')
  })
  .transform((settings) => {
    const { method, body, form } = settings
    const isImplied = method !== 'GET' && body === undefined && form === undefined
    return isImplied ? { ...settings, body: bodyValue.parse(DEFAULT_BODY) } : settings
  })
  .refine(({ client_ca: ca, ...settings }) => ca !== undefined || !namesOf(settings).includes('commonName'), {
    path: ['client_ca'],
    message: 'missing: a common name is told to nobody before it was verified',
  })
  .refine((settings) => namesOf(settings).length > 0, {
    path: ['query'],
    message: 'no placeholder anywhere: the service would never know who asks',
  })

export type HttpServiceSettings = z.output<typeof httpProviderSchema>
