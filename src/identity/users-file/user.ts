import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Identity } from '../../policy/identity.ts'
import { saslPrep } from '../scram/saslprep.ts'
import { type ScramVerifier, scramMemberSchema } from '../scram/verifier.ts'
import { type PasswordHash, parsePasswordHash } from './password-hash.ts'

/** A user as a file describes it, with everything about it that does not depend on who asks. */
export interface User {
  readonly username: string
  readonly enabled: boolean
  /** Absent for a user that has only SCRAM: no password is right then. */
  readonly passwordHash?: PasswordHash
  readonly scram: readonly ScramVerifier[]
  /** The client ids that may use this name; absent: any. */
  readonly clientIds?: readonly string[]
  readonly identity: Identity
  /** Changes with everything in the record, so that nothing granted before a change still holds after it. */
  readonly grant: string
}

const name = (max: number) => z.string().min(1).max(max)
const names = z.array(name(256)).max(64, 'must be at most 64').default([])

/** A user's name: what topics, logs and policies will show, so in one spelling only and without control characters. */
const usernameSchema = z
  .string()
  .min(1, 'must not be empty')
  .max(200, 'must be at most 200 characters')
  .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must have no control characters')
  .refine((text) => text.normalize('NFC') === text, 'must be in Unicode form NFC')

const passwordHashSchema = z
  .string()
  .max(512, 'must be at most 512 characters')
  .transform((text, ctx) => {
    const hash = parsePasswordHash(text)
    if (!('problem' in hash)) return hash
    ctx.addIssue(hash.problem)
    return z.NEVER
  })

const attributeName = z
  .string()
  .regex(/^[A-Za-z]\w{0,63}$/, 'a name is a letter, then letters, digits and _, at most 64')

const hasPrototype = (value: unknown) =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, '__proto__')

const hasCredential = (record: { password_hash?: unknown; scram: readonly unknown[] }) =>
  record.password_hash !== undefined || record.scram.length > 0
const NO_CREDENTIAL = 'must have `password_hash` or `scram`'

/** An exchange asks for a name as SASLprep writes it: a user whose name is another would never be found. */
function isFindable({ username, scram }: { username: string; scram: readonly unknown[] }): boolean {
  return scram.length === 0 || saslPrep(username, 'query') === username
}
const NOT_FINDABLE = 'must be as SASLprep writes it (RFC 4013) for a user with `scram`'

/** A user as it stands in a file. */
export const recordSchema = z
  .strictObject({
    username: usernameSchema,
    password_hash: passwordHashSchema.optional(),
    scram: scramMemberSchema.default([]),
    enabled: z.boolean().default(true),
    groups: names,
    roles: names,
    scopes: names,
    type: z.enum(['device', 'application', 'service', 'user']).default('device'),
    org: name(256).optional(),
    client_ids: z.array(name(256)).min(1).max(64).optional(),
    attributes: z
      .custom<unknown>((value) => !hasPrototype(value), '"__proto__" is no name') // records pass over it in silence
      .pipe(z.record(attributeName, z.union([z.string().max(1024), z.number(), z.boolean()])))
      .refine((all) => Object.keys(all).length <= 64, 'must be at most 64')
      .optional(),
  })
  .refine(hasCredential, NO_CREDENTIAL)
  .refine(isFindable, { path: ['username'], message: NOT_FINDABLE })

type UserRecord = z.output<typeof recordSchema>

function grantOf(record: UserRecord): string {
  const { password_hash: hash, scram, ...rest } = record
  const verifiers = scram.map(({ method, salt, storedKey }) => [method, ...salt, ...storedKey])
  const said = JSON.stringify(['sealwire users file', rest, hash?.text ?? null, verifiers])
  return `${createHash('sha256').update(said).digest('base64url').slice(0, 24)}.${record.username}`
}

export function userOf(record: UserRecord): User {
  const { username, enabled, password_hash: passwordHash, scram, client_ids: clientIds, attributes } = record
  const { type, org, groups, roles, scopes } = record
  return {
    username,
    enabled,
    ...(passwordHash === undefined ? {} : { passwordHash }),
    scram,
    ...(clientIds === undefined ? {} : { clientIds }),
    identity: {
      username,
      sub: username,
      type,
      ...(org === undefined ? {} : { org }),
      groups,
      roles,
      scopes,
      ...(attributes === undefined ? {} : { claims: attributes }),
    },
    grant: grantOf(record),
  }
}

/** Counts users by what verifying their password costs. */
export function countKinds(users: Iterable<User>): Map<string, number> {
  const kinds = new Map<string, number>()
  for (const { passwordHash } of users) {
    if (passwordHash) kinds.set(passwordHash.kind, (kinds.get(passwordHash.kind) ?? 0) + 1)
  }
  return kinds
}
