import { z } from 'zod'
import { textRegexProblem } from '../../policy/regex/check-regex.ts'

const MAX_TEXT = 1_024

const nameTestSchema = z.union([
  z.string().min(1).max(MAX_TEXT),
  z.strictObject({
    /** Matches the whole name, whether or not it says so with `^` and `$`. */
    regex: z
      .string()
      .min(1)
      .max(MAX_TEXT)
      .superRefine((pattern, context) => {
        const problem = textRegexProblem(pattern)
        if (problem) context.addIssue(`${problem.message} (at character ${problem.position + 1})`)
      }),
  }),
])

export const nameKinds = ['cn', 'dns', 'uri', 'email'] as const
export type NameKind = (typeof nameKinds)[number]
export type NameTest = z.output<typeof nameTestSchema>

const list = z.array(z.string().min(1).max(256)).max(64).default([])

const matchSchema = z
  .strictObject({
    cn: nameTestSchema.optional(),
    dns: nameTestSchema.optional(),
    uri: nameTestSchema.optional(),
    email: nameTestSchema.optional(),
    client_type: z.enum(['device', 'application', 'service', 'user']).default('device'),
    org: z.string().min(1).max(256).optional(),
    groups: list,
    roles: list,
    scopes: list,
  })
  .refine(
    (match) => nameKinds.some((kind) => match[kind] !== undefined),
    'must name at least one of cn, dns, uri and email',
  )

/** A section of `providers` with `"type": "x509"`: certificates that clients showed when they connected. */
export const certificateProviderSchema = z.strictObject({
  type: z.literal('x509'),
  /** PEM, one CA or several; read again when it changes. */
  ca_file: z.string().min(1).max(4_096),
  /** The name that becomes the username; a certificate has exactly one of that kind, or is refused. */
  username_from: z.enum(nameKinds).default('cn'),
  /** `must-match`: a username that the client sends as well is the same, or it is refused. It is never believed. */
  connect_username: z.enum(['must-match', 'ignored']).default('must-match'),
  /** Whom to let in, and as what: the first entry of which every test holds. Of several names of a kind, one is enough. */
  matches: z.array(matchSchema).min(1).max(1_000),
})

export type CertificateSettings = z.output<typeof certificateProviderSchema>
export type CertificateMatch = z.output<typeof matchSchema>
