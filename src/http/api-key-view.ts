import { z } from 'zod'
import type { ApiKey } from '../tenants/api-keys.ts'
import { scopes as allScopes, roles, type Scope } from '../tenants/principal.ts'
import { apiKeyId, displayName, exampleId, timestamp } from './schemas.ts'

export const role = z.enum(roles).meta({ id: 'Role' })
export const scope = z.enum([...allScopes] as [Scope, ...Scope[]]).meta({ id: 'Scope' })

/** What lists show of an API key; its secret is stored nowhere. */
export const apiKey = z
  .strictObject({
    id: apiKeyId,
    name: displayName,
    key_prefix: z.string(),
    role,
    scopes: z.array(scope),
    allowed_addresses: z.array(z.string()),
    is_active: z.boolean(),
    created_at: timestamp,
    expires_at: timestamp.nullable(),
    revoked_at: timestamp.nullable(),
  })
  .meta({ id: 'ApiKey' })

export const apiKeyExample: z.input<typeof apiKey> = {
  id: exampleId('key'),
  name: 'line 4 controller',
  key_prefix: 'qs_live_01ka',
  role: 'editor',
  scopes: ['proxy:publish', 'recipients:enroll'],
  allowed_addresses: [],
  is_active: true,
  created_at: '2026-11-21T09:00:00.000Z',
  expires_at: null,
  revoked_at: null,
}

/** Renders an API key; `key_prefix` is the beginning of the text that its holder has. */
export function apiKeyToWire(
  key: ApiKey,
  { sandbox, nowMs }: { sandbox: boolean; nowMs: number },
): z.input<typeof apiKey> {
  const expired = key.expiresAt !== null && key.expiresAt.getTime() <= nowMs
  return {
    id: key.id,
    name: key.name,
    key_prefix: `${sandbox ? 'qs_test_' : 'qs_live_'}${key.id.slice(4, 8)}`,
    role: key.role,
    scopes: [...key.scopes],
    allowed_addresses: [...key.allowedAddresses],
    is_active: key.revokedAt === null && !expired,
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
  }
}
