import { z } from 'zod'
import { isId } from '../core/ids.ts'
import { parseStrictJson } from '../core/strict-json.ts'
import { clientIdsSchema } from '../identity/client-ids.ts'
import { providersSchema } from '../identity/providers-schema.ts'
import { secretSourceSchema } from '../identity/secret-source.ts'
import { dialectNames } from './dialect.ts'

const names = z.array(z.string().min(1).max(256)).max(64)
const capability = z.enum(['subscribe', 'read', 'publish'])
const holders = z.record(z.string().min(1).max(256), z.array(capability).max(3))

const permissionMap = z.strictObject({ groups: holders.default({}), scopes: holders.default({}) })

/** What the MQTT integration page of CELINE gives to groups and scopes; superusers are named elsewhere. */
const celinePermissions = {
  groups: {
    admins: ['subscribe', 'read', 'publish'],
    managers: ['subscribe', 'read', 'publish'],
    editors: ['subscribe', 'read', 'publish'],
    viewers: ['subscribe', 'read'],
  },
  scopes: {
    'mqtt.admin': ['subscribe', 'read', 'publish'],
    'mqtt.read': ['subscribe', 'read'],
    'mqtt.write': ['publish'],
  },
} satisfies z.input<typeof permissionMap>

const hookSchema = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9_-]{0,63}$/, 'a name is a-z, then a-z 0-9 _ -, at most 64'),
    dialect: z.enum(dialectNames),
    secret: secretSourceSchema.optional(),
    mutual_tls: z
      .strictObject({ ca_file: z.string().min(1).max(4096), names: z.array(z.string().min(1).max(256)).min(1).max(64) })
      .optional(),
    addresses: z
      .array(z.union([z.cidrv4(), z.cidrv6()]))
      .min(1)
      .max(64)
      .optional(),
    tenant: z.string().refine((id) => isId('ten', id), 'must be the id of a tenant'),
    policy: z.string().refine((id) => isId('pol', id), 'must be the id of a policy'),
    providers: z.array(z.string()).max(32),
    superuser: z.strictObject({ groups: names.default([]), scopes: names.default([]) }).optional(),
    permissions: z.union([z.literal('celine').transform(() => celinePermissions), permissionMap]).optional(),
    answers: z.enum(['status', 'json', 'text']).default('status'),
    token_from: z
      .array(z.enum(['authorization', 'username']))
      .max(2)
      .default(['authorization', 'username']),
    vhost: z.string().min(1).max(256).default('/'),
    mountpoint: z.string().max(256).default(''),
    deadline_ms: z.int().min(50).max(5_000).default(250),
    stale_s: z.int().min(0).max(3_600).default(30),
    session_idle_s: z.int().min(60).max(2_592_000).default(604_800),
    failures_per_minute: z.int().min(10).max(100_000).default(100),
    max_sessions: z.int().min(100).max(1_000_000).default(100_000),
    max_sessions_per_user: z.int().min(1).max(1_000_000).default(10_000),
  })
  .superRefine((hook, ctx) => {
    if (hook.secret === undefined && hook.mutual_tls === undefined && hook.addresses === undefined)
      ctx.addIssue({
        code: 'custom',
        message: 'needs secret, mutual_tls or addresses: a hook is not open to everybody',
      })
    if (new Set(hook.providers).size < hook.providers.length)
      ctx.addIssue({ code: 'custom', path: ['providers'], message: 'names a provider twice' })
  })

const configSchema = z
  .strictObject({
    version: z.literal(1),
    providers: providersSchema,
    client_ids: clientIdsSchema,
    hooks: z.array(hookSchema).min(1).max(64),
  })
  .superRefine(({ providers, hooks }, ctx) => {
    const seen = new Set<string>()
    for (const [i, hook] of hooks.entries()) {
      if (seen.has(hook.name))
        ctx.addIssue({ code: 'custom', path: ['hooks', i, 'name'], message: 'is the name of another hook' })
      seen.add(hook.name)
      for (const [j, name] of hook.providers.entries()) {
        if (Object.hasOwn(providers, name)) continue
        ctx.addIssue({ code: 'custom', path: ['hooks', i, 'providers', j], message: 'is none of `providers`' })
      }
    }
  })

export type BrokerAuthConfig = z.output<typeof configSchema>
export type HookSettings = z.output<typeof hookSchema>
export type Permissions = z.output<typeof permissionMap>

function placeOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('')
  return text.replace(/^\./, '') || 'the file'
}

/** Names what is not known; zod's own text for it prints the names without their place. */
function linesOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${placeOf([...issue.path, key])}: is not known here`)
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const depthOf = (issues: readonly z.core.$ZodIssue[]) => Math.max(...issues.map(({ path }) => path.length))
    const [meant] = issue.errors.toSorted((a, b) => depthOf(b) - depthOf(a)) // the form that it is most like
    return (meant ?? []).flatMap((inner) => linesOf({ ...inner, path: [...issue.path, ...inner.path] }))
  }
  return [`${placeOf(issue.path)}: ${issue.message}`]
}

/**
 * Reads the text of the file that `BROKER_AUTH_CONFIG` names.
 *
 * @throws {Error} that names the place of every fault at once, and prints no value
 */
export function parseBrokerAuthConfig(text: string): BrokerAuthConfig {
  let json: unknown
  try {
    json = parseStrictJson(text)
  } catch (err) {
    throw new Error(`Invalid BROKER_AUTH_CONFIG:\n  ${(err as Error).message}`)
  }
  const parsed = configSchema.safeParse(json)
  if (parsed.success) return parsed.data
  const lines = new Set(parsed.error.issues.flatMap(linesOf))
  throw new Error(`Invalid BROKER_AUTH_CONFIG:\n${[...lines].map((line) => `  ${line}`).join('\n')}`)
}
