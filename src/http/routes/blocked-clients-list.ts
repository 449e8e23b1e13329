import { z } from 'zod'
import { blockedClient, blockedClientExample, blockedClientToWire } from '../client-view.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'

export const blockedClientsList = defineOperation({
  id: 'blocked_clients.list',
  method: 'get',
  path: '/api/v2/clients/blocked',
  summary: 'List blocked clients',
  description: 'Newest first. One that has expired is shown until the next one is made, at most for a week.',
  scopes: ['policies:read'],
  query: pageQuery,
  data: z.array(blockedClient),
  example: { data: [blockedClientExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { tenantId } = request.caller
    const nowMs = services.clock.now()
    const read = pagesOf((page) => services.blockedClients.list(tenantId, page))
    return answerPage(services, 'blocked_clients.list', request, read, (one) => blockedClientToWire(one, nowMs))
  },
})
