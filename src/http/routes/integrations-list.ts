import { z } from 'zod'
import { integrationExample, integrationView, viewOf } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'

export const integrationsList = defineOperation({
  id: 'integrations.list',
  method: 'get',
  path: '/api/v2/integrations',
  summary: 'List integrations',
  description:
    'In the order of creation. `meta.not_understood` names those whose stored settings this version does not understand: they are not used. The refusal of one by its id says which member, and has the revision for `If-Match` of a PATCH that puts it right, or a DELETE.',
  scopes: ['integrations:read'],
  query: pageQuery,
  data: z.array(integrationView),
  example: { data: [integrationExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    let unread: readonly string[] = []
    async function read(page: { limit: number; after: string | undefined }) {
      const { items, notUnderstood, nextAfter } = await services.integrations.list(request.caller.tenantId, page)
      unread = notUnderstood
      return { items: await Promise.all(items.map((one) => viewOf(services, one))), nextAfter }
    }
    const { data, meta } = await answerPage(services, 'integrations.list', request, read, (one) => one)
    return { data, meta: { ...meta, ...(unread.length > 0 && { not_understood: unread }) } }
  },
})
