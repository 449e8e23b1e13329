import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPolicy, documentExample, policyDocument, policyEtag, policyExample, policyView } from '../policy-view.ts'
import { displayName } from '../schemas.ts'

export const policiesCreate = defineOperation({
  id: 'policies.create',
  method: 'post',
  path: '/api/v2/policies',
  summary: 'Create a policy',
  description:
    'Stores the document as revision 1, which decides at once; a `revision` in it is set to 1. Refused with every problem and its path when the document is not valid, and when one of its tests fails.',
  scopes: ['policies:write'],
  body: z.strictObject({
    name: displayName.optional().meta({ description: "The document's id when absent" }),
    document: policyDocument,
  }),
  data: policyView,
  example: { body: { name: 'plant', document: documentExample }, data: policyExample },
  statuses: [201],
  responseHeaders: policyEtag,
  errors: ['policy.invalid', 'quota.exceeded', 'rate.limited', 'outcome.unknown'],
  idempotent: true,
  async handle({ policies }, { caller, body }) {
    return answerPolicy(await policies.create(caller, body))
  },
})
