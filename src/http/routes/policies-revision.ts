import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { documentExample, documentOf, revisionExample, revisionToWire, revisionWithDocument } from '../policy-view.ts'
import { policyId } from '../schemas.ts'

/** A canonical number: two spellings of one revision would be two addresses. */
const revision = z
  .string()
  .regex(/^[1-9]\d{0,8}$/)
  .transform(Number)
  .meta({ description: 'Number of the revision', example: '1' })

export const policiesRevision = defineOperation({
  id: 'policies.revision',
  method: 'get',
  path: '/api/v2/policies/:id/revisions/:revision',
  summary: 'Show a revision of a policy',
  description: 'With its document.',
  scopes: ['policies:read'],
  params: z.strictObject({ id: policyId, revision }),
  data: revisionWithDocument,
  example: { data: { ...revisionExample, document: documentExample } },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ policies }, { caller, params }) {
    const found = await policies.revision(caller.tenantId, params.id, params.revision)
    return { data: { ...revisionToWire(found), document: documentOf(found) } }
  },
})
