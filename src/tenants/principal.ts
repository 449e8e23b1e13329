/** From least to most; each holds every scope of those before it. */
export const roles = ['viewer', 'editor', 'admin', 'owner'] as const
export type Role = (typeof roles)[number]

const granted = {
  viewer: ['vault:read', 'integrations:read', 'policies:read', 'audit:read'],
  editor: [
    'vault:write',
    'integrations:write',
    'proxy:publish',
    'proxy:subscribe',
    'encryption:use',
    'recipients:enroll',
  ],
  admin: ['vault:unseal', 'keys:manage', 'policies:write'],
  owner: [],
} as const satisfies Record<Role, readonly string[]>

export type Scope = (typeof granted)[Role][number]

/** Who calls: one API key of one tenant, with what it may do. */
export interface Principal {
  readonly tenantId: string
  readonly keyId: string
  readonly role: Role
  /** The intersection of the role's scopes and those the key was given. */
  readonly scopes: ReadonlySet<Scope>
  readonly sandbox: boolean
  /** Cost units a second that the operator gave the tenant; absent: the deployment's. */
  readonly rateLimit?: number
}

/** Reports whether `role` is at most `limit`. */
export function isWithinRole(role: Role, limit: Role): boolean {
  return roles.indexOf(role) <= roles.indexOf(limit)
}

/** Every scope of a role: its own, and those of the lesser ones. */
export function scopesOf(role: Role): ReadonlySet<Scope> {
  return new Set(roles.filter((lesser) => isWithinRole(lesser, role)).flatMap((lesser) => [...granted[lesser]]))
}

/** Every scope there is. */
export const scopes: ReadonlySet<Scope> = scopesOf('owner')

export function isRole(word: string): word is Role {
  return (roles as readonly string[]).includes(word)
}

export function isScope(word: string): word is Scope {
  return (scopes as ReadonlySet<string>).has(word)
}
