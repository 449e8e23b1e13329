import { z } from 'zod'
import { apiKey, apiKeyExample, apiKeyToWire } from '../api-key-view.ts'
import { defineOperation } from '../operation.ts'
import { apiKeyId } from '../schemas.ts'

export const apiKeysRevoke = defineOperation({
  id: 'api_keys.revoke',
  method: 'delete',
  path: '/api/v2/security/api-keys/:id',
  summary: 'Revoke an API key',
  description: 'Takes effect in every process within a second.',
  scopes: ['keys:manage'],
  params: z.strictObject({ id: apiKeyId }),
  data: apiKey,
  example: { data: { ...apiKeyExample, is_active: false, revoked_at: '2026-11-21T10:00:00.000Z' } },
  statuses: [200],
  errors: ['object.not_found', 'outcome.unknown'],
  async handle({ apiKeys, clock }, { caller, principal, params }) {
    return {
      data: apiKeyToWire(await apiKeys.revoke(caller, params.id), { sandbox: principal.sandbox, nowMs: clock.now() }),
    }
  },
})
