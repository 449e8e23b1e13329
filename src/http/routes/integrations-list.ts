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
    async function read(page: { limit: number; after: string | undefined }) {
      const { items, nextAfter } = await services.integrations.list(request.caller.tenantId, page)
      return { items: await Promise.all(items.map((one) => viewOf(services, one))), nextAfter }
    }
    return answerPage(services, 'integrations.list', request, read, (one) => one)
  },
})
