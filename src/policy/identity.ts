/**
 * Who asks: what authentication found out, immutable for a session until it authenticates again. A member that is absent is
 * unknown, which never satisfies an allow.
 */
export interface Identity {
  readonly clientId?: string
  readonly username?: string
  readonly type?: 'device' | 'application' | 'service' | 'user' | 'anonymous'
  readonly ip?: string
  readonly protocol?: 3 | 4 | 5
  readonly listener?: string
  readonly tls?: boolean
  readonly auth?: 'basic' | 'jwt' | 'x509' | 'scram' | 'http' | 'apikey' | 'anonymous'
  readonly org?: string
  readonly sub?: string
  readonly groups?: readonly string[]
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  readonly claims?: Readonly<Record<string, unknown>>
  readonly cert?: {
    readonly cn?: string
    readonly san?: readonly string[]
    readonly issuer?: string
    readonly serial?: string
    readonly fingerprint?: string
  }
}

/** Members of an identity at its top; an alias may not take one of these names. */
export const identityFields = [
  'clientId',
  'username',
  'type',
  'ip',
  'protocol',
  'listener',
  'tls',
  'auth',
  'org',
  'sub',
  'groups',
  'roles',
  'scopes',
  'claims',
  'cert',
] as const satisfies readonly (keyof Identity)[]

/** Follows a dotted path through own members only; `undefined` where it ends early. */
export function valueAt(identity: Identity, path: readonly string[]): unknown {
  let value: unknown = identity
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}
