import { z } from 'zod'
import { apiKey, apiKeyExample, apiKeyToWire } from '../api-key-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'

export const apiKeysList = defineOperation({
  id: 'api_keys.list',
  method: 'get',
  path: '/api/v2/security/api-keys',
  summary: 'List API keys',
  description: 'Newest first, revoked ones included.',
  scopes: ['keys:manage'],
  query: pageQuery,
  data: z.array(apiKey),
  example: { data: [apiKeyExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { tenantId, sandbox } = request.principal
    const nowMs = services.clock.now()
    const read = pagesOf((page) => services.apiKeys.list(tenantId, page))
    return answerPage(services, 'api_keys.list', request, read, (one) => apiKeyToWire(one, { sandbox, nowMs }))
  },
})
