import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery } from '../paging.ts'
import { revisionExample, revisionToWire, revisionView } from '../policy-view.ts'
import { policyId } from '../schemas.ts'

export const policiesRevisions = defineOperation({
  id: 'policies.revisions',
  method: 'get',
  path: '/api/v2/policies/:id/revisions',
  summary: 'List the revisions of a policy',
  description: 'Newest first, without their documents.',
  scopes: ['policies:read'],
  params: z.strictObject({ id: policyId }),
  query: pageQuery,
  data: z.array(revisionView),
  example: { data: [revisionExample] },
  statuses: [200],
  errors: ['object.not_found'],
  async handle(services, request) {
    const { id } = request.params
    const read = (page: { limit: number; after: string | undefined }) =>
      services.policies.revisions(request.caller.tenantId, id, page)
    return answerPage(services, `policies.revisions/${id}`, request, read, revisionToWire)
  },
})
