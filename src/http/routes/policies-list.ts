import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'
import { policyExample, policyToWire, policyView } from '../policy-view.ts'

export const policiesList = defineOperation({
  id: 'policies.list',
  method: 'get',
  path: '/api/v2/policies',
  summary: 'List policies',
  description: 'In the order of creation, without their documents.',
  scopes: ['policies:read'],
  query: pageQuery,
  data: z.array(policyView),
  example: { data: [policyExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const read = (page: { limit: number; after: string | undefined }) =>
      services.policies.list(request.caller.tenantId, page)
    return answerPage(services, 'policies.list', request, read, policyToWire)
  },
})
