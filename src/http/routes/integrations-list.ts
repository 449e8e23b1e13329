import { z } from 'zod'
import { integrationExample, integrationView, viewOf } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'

export const integrationsList = defineOperation({
  id: 'integrations.list',
  method: 'get',
  path: '/api/v2/integrations',
  summary: 'List integrations',
  description: 'In the order of creation.',
  scopes: ['integrations:read'],
  query: pageQuery,
  data: z.array(integrationView),
  example: { data: [integrationExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const read = (page: { limit: number; after: string | undefined }) =>
      services.integrations.list(request.caller.tenantId, page)
    return answerPage(services, 'integrations.list', request, read, (one) => viewOf(services, one))
  },
})
