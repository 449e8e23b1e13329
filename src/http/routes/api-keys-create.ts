import { z } from 'zod'
import { apiKey, apiKeyExample, apiKeyToWire, role, scope } from '../api-key-view.ts'
import { defineOperation } from '../operation.ts'
import { displayName, timestamp } from '../schemas.ts'

export const apiKeysCreate = defineOperation({
  id: 'api_keys.create',
  method: 'post',
  path: '/api/v2/security/api-keys',
  summary: 'Create an API key',
  description:
    'The secret is in this answer and nowhere else. A key can never give more than the key that makes it has.',
  scopes: ['keys:manage'],
  body: z.strictObject({
    name: displayName,
    role: role.optional().meta({ description: 'Defaults to viewer, the least' }),
    scopes: z
      .array(scope)
      .min(1)
      .max(32)
      .optional()
      .meta({ description: 'Narrows what the role may do; absent: all of it' }),
    expires_at: timestamp.optional(),
    allowed_addresses: z
      .array(z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]))
      .max(64)
      .optional(),
  }),
  data: z
    .strictObject({ key: apiKey, secret: z.string().meta({ description: 'Shown once' }) })
    .meta({ id: 'NewApiKey' }),
  example: {
    body: { name: 'line 4 controller', role: 'editor', scopes: ['proxy:publish', 'recipients:enroll'] },
    data: { key: apiKeyExample, secret: 'qs_live_01kat4hvr07rf9mm9f7nrvz4gg_…' },
  },
  statuses: [201],
  errors: ['outcome.unknown'],
  async handle({ apiKeys, clock }, { caller, principal, body }) {
    const { apiKey: made, secret } = await apiKeys.create(caller, principal, {
      name: body.name,
      role: body.role,
      scopes: body.scopes,
      expiresAt: body.expires_at === undefined ? undefined : new Date(body.expires_at),
      allowedAddresses: body.allowed_addresses,
    })
    return {
      data: { key: apiKeyToWire(made, { sandbox: principal.sandbox, nowMs: clock.now() }), secret: secret.reveal() },
      keep: false,
    }
  },
})
