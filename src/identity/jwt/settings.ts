import { z } from 'zod'
import { secretSourceSchema } from '../secret-source.ts'
import { jwtAlgorithms, publicKeyAlgorithms, secretAlgorithms } from './algorithms.ts'

const text = (max = 1_024) => z.string().min(1).max(max)
const name = text(256)

/** Where a claim is: names joined by dots, or a list of names where one of them holds a dot. */
const claimPathSchema = z
  .union([text(), z.array(name).min(1).max(8)], 'must be a claim: names joined by dots, or a list of names')
  .transform((path): readonly string[] => (typeof path === 'string' ? path.split('.') : path))
  .refine((path) => path.length <= 8 && !path.includes(''), 'must have 1 to 8 names, none of them empty')

export type ClaimPath = readonly string[]

/** A claim that is needed, or one that a token may do without. `*` as a name stands for every member. */
const claimSourceSchema = z
  .union(
    [claimPathSchema, z.strictObject({ claim: claimPathSchema, optional: z.boolean().default(false) })],
    'must be a claim, or {"claim": …, "optional": true}',
  )
  .transform((source) => ('claim' in source ? source : { claim: source, optional: false }))

export type ClaimSource = z.output<typeof claimSourceSchema>

const scalar = z.union([text(), z.number(), z.boolean()], 'must be text, a number, true or false')

const clientTypeSchema = z.strictObject({
  /** What a token is whose claims fit none of the rules. */
  default: z.enum(['device', 'application', 'service', 'user']).default('user'),
  /** In their order; the first whose conditions all hold decides. A claim alone must be there. */
  rules: z
    .array(
      z.strictObject({
        type: z.enum(['device', 'application', 'service', 'user']),
        when: z
          .array(
            z
              .strictObject({ claim: claimPathSchema, equals: scalar.optional(), prefix: text().optional() })
              .refine(
                (one) => one.equals === undefined || one.prefix === undefined,
                'has `equals` or `prefix`, not both',
              ),
          )
          .min(1)
          .max(8),
      }),
    )
    .max(16)
    .default([
      { type: 'service', when: [{ claim: ['client_id'] }] },
      { type: 'service', when: [{ claim: ['clientId'] }] },
      { type: 'service', when: [{ claim: ['preferred_username'], prefix: 'service-account-' }] },
    ]),
})

const optional = z.boolean().default(false)

/** Rules that the token itself brings, and what they are written in. */
const ruleClaimsSchema = z.discriminatedUnion('format', [
  z.strictObject({ format: z.literal('rules'), claim: claimPathSchema, optional }),
  z.strictObject({ format: z.literal('emqx'), claim: claimPathSchema, optional }),
  z
    .strictObject({
      format: z.literal('tbmq'),
      publish_claim: claimPathSchema.optional(),
      subscribe_claim: claimPathSchema.optional(),
      optional,
    })
    .refine((one) => one.publish_claim ?? one.subscribe_claim, 'needs `publish_claim` or `subscribe_claim`'),
])

const claimsSchema = z.strictObject({
  username: claimPathSchema.default(['sub']),
  /** All of them together; a slash at the front of a group is taken off. */
  groups: z
    .array(claimSourceSchema)
    .max(8)
    .default([{ claim: ['groups'], optional: true }]),
  roles: z.array(claimSourceSchema).max(8).default([]),
  /** A list, or one text with spaces between. */
  scopes: z
    .array(claimSourceSchema)
    .max(8)
    .default([{ claim: ['scope'], optional: true }]),
  org: claimSourceSchema.optional(),
  /** Claims that must have these values; `${username}` and `${clientId}` are those of the CONNECT. */
  expect: z
    .array(z.strictObject({ claim: claimPathSchema, equals: scalar }))
    .max(32)
    .default([]),
  rules: ruleClaimsSchema.optional(),
})

function isFetchable({ protocol, username, password, hash }: URL): boolean {
  return /^https?:$/.test(protocol) && username === '' && password === '' && hash === ''
}

const url = text(2_048).refine((one) => {
  const parsed = URL.parse(one)
  return parsed !== null && isFetchable(parsed)
}, 'must be an https URL without user, password and fragment')

/** How keys are fetched, with `jwks_uri` and `discovery`. */
const jwksSchema = z.strictObject({
  /** After how long the keys are fetched again. A key that the issuer has withdrawn is good for no longer than this. */
  refresh_s: z.number().int().min(10).max(86_400).default(300),
  /** How long keys serve while they cannot be fetched, counted from when they were. */
  stale_s: z.number().int().min(0).max(604_800).default(3_600),
  timeout_ms: z.number().int().min(50).max(60_000).default(5_000),
  /** PEM; replaces the public authorities. */
  ca_file: text(4_096).optional(),
  /** Lets keys come over plain http from another host than this one: only for a network that nobody else is in. */
  allow_http: z.boolean().default(false),
})

const sources = ['secret', 'public_key_file', 'jwks_uri', 'discovery'] as const

/** A section of `providers` with `"type": "jwt"`: tokens of one issuer. */
export const jwtProviderSchema = z
  .strictObject({
    type: z.literal('jwt'),
    /** `iss` of its tokens; others are left to the next provider. Without it every token is for this provider to judge. */
    issuer: text(2_048).optional(),
    /** `aud` must name one of these; `"*"` says that tokens for anybody will do. */
    audience: z
      .union([text(), z.array(text()).min(1).max(16)], 'must be text or a list of texts')
      .transform((one): readonly string[] => (typeof one === 'string' ? [one] : one)),
    secret: secretSourceSchema.optional(),
    /** PEM: a public key, or a certificate whose key is meant. */
    public_key_file: text(4_096).optional(),
    jwks_uri: url.optional(),
    /** Finds the keys by what the issuer publishes at `/.well-known/openid-configuration`. */
    discovery: z.literal(true).optional(),
    algorithms: z.array(z.enum(jwtAlgorithms)).min(1).max(jwtAlgorithms.length).optional(),
    clock_skew_s: z.number().int().min(0).max(300).default(30),
    max_token_bytes: z.number().int().min(256).max(65_536).default(16_384),
    /** Where a token may stand. All that are there must be of one subject. */
    token_from: z
      .array(z.enum(['authorization', 'password', 'username']))
      .min(1)
      .max(3)
      .default(['authorization', 'password', 'username']),
    /** `must-match`: a username beside the token is one of its names, or the client is refused. It is never believed. */
    connect_username: z.enum(['must-match', 'ignored']).default('must-match'),
    claims: claimsSchema.prefault({}),
    client_type: clientTypeSchema.prefault({}),
    jwks: jwksSchema.prefault({}),
  })
  .superRefine((settings, ctx) => {
    const refuse = (path: string | undefined, message: string) =>
      ctx.addIssue({ code: 'custom', path: path === undefined ? [] : [path], message })
    const given = sources.filter((source) => settings[source] !== undefined)
    if (given.length !== 1)
      refuse(undefined, `must have exactly one of ${sources.map((one) => `\`${one}\``).join(', ')}`)
    const isRemote = settings.jwks_uri !== undefined || settings.discovery !== undefined
    if (isRemote && settings.issuer === undefined) refuse('issuer', 'required: whose keys these are')
    if (settings.audience.includes('*') && settings.audience.length > 1) refuse('audience', '"*" stands alone')
    const known = settings.secret === undefined ? publicKeyAlgorithms : secretAlgorithms
    for (const algorithm of settings.algorithms ?? [])
      if (!known.includes(algorithm))
        refuse('algorithms', `${algorithm} does not go with \`${given[0] ?? ''}\`; known are ${known.join(', ')}`)
    const address = settings.discovery === undefined ? settings.jwks_uri : settings.issuer
    if (address === undefined || !isRemote) return
    const parsed = URL.parse(address)
    const where = settings.discovery === undefined ? 'jwks_uri' : 'issuer'
    const isUrl = parsed !== null && isFetchable(parsed) && parsed.search === ''
    if (where === 'issuer' && !isUrl) refuse(where, 'must be an https URL without user and query, to find its keys by')
    if (parsed?.protocol === 'http:' && !settings.jwks.allow_http && !isOwnHost(parsed.hostname))
      refuse(where, 'keys come over https; `jwks.allow_http` says otherwise')
  })

/** This very host, where nobody is between. */
function isOwnHost(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

export type JwtSettings = z.output<typeof jwtProviderSchema>
export type ClaimsSettings = JwtSettings['claims']
export type ClientTypeSettings = JwtSettings['client_type']
