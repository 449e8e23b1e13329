import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import {
  answerPolicy,
  documentExample,
  documentOf,
  policyEtag,
  policyExample,
  policyWithDocument,
} from '../policy-view.ts'
import { policyId } from '../schemas.ts'

export const policiesGet = defineOperation({
  id: 'policies.get',
  method: 'get',
  path: '/api/v2/policies/:id',
  summary: 'Show a policy',
  description: 'With the document that decides.',
  scopes: ['policies:read'],
  params: z.strictObject({ id: policyId }),
  data: policyWithDocument,
  example: { data: { ...policyExample, document: documentExample } },
  statuses: [200],
  responseHeaders: policyEtag,
  errors: ['object.not_found'],
  async handle({ policies }, { caller, params }) {
    const { policy, active } = await policies.get(caller.tenantId, params.id)
    const answer = answerPolicy(policy)
    return { ...answer, data: { ...answer.data, document: documentOf(active) } }
  },
})
