import { z } from 'zod'
import { apiKey, apiKeyExample, apiKeyToWire } from '../api-key-view.ts'
import { defineOperation } from '../operation.ts'

export const apiKeysList = defineOperation({
  id: 'api_keys.list',
  method: 'get',
  path: '/api/v2/security/api-keys',
  summary: 'List API keys',
  scopes: ['keys:manage'],
  data: z.array(apiKey),
  example: { data: [apiKeyExample] },
  statuses: [200],
  errors: [],
  async handle({ apiKeys, clock }, { caller, principal }) {
    const all = await apiKeys.list(caller.tenantId)
    return { data: all.map((one) => apiKeyToWire(one, { sandbox: principal.sandbox, nowMs: clock.now() })) }
  },
})
