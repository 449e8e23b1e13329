import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { policyExample, policyIfMatch } from '../policy-view.ts'
import { policyId } from '../schemas.ts'

export const policiesDelete = defineOperation({
  id: 'policies.delete',
  method: 'delete',
  path: '/api/v2/policies/:id',
  summary: 'Delete a policy',
  description: 'With its revisions. Refused with the list while integrations name it.',
  scopes: ['policies:write'],
  params: z.strictObject({ id: policyId }),
  data: z.strictObject({ id: policyId, deleted: z.literal(true) }).meta({ id: 'DeletedPolicy' }),
  example: { data: { id: policyExample.id, deleted: true } },
  statuses: [200],
  headers: policyIfMatch,
  errors: ['object.not_found', 'object.in_use', 'precondition.required', 'precondition.failed', 'outcome.unknown'],
  async handle({ policies }, { caller, params, ifMatch }) {
    await policies.remove(caller, params.id, ifMatch)
    return { data: { id: params.id, deleted: true as const } }
  },
})
