import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import {
  answerPolicy,
  documentExample,
  policyDocument,
  policyEtag,
  policyExample,
  policyIfMatch,
  policyView,
  revisionNumber,
} from '../policy-view.ts'
import { displayName, policyId } from '../schemas.ts'

const body = z
  .strictObject({
    name: displayName.optional(),
    document: policyDocument.optional(),
    activate: z
      .boolean()
      .optional()
      .meta({ description: 'false stores the document as a draft, whose tests may fail; true when absent' }),
    activate_revision: revisionNumber.optional().meta({ description: 'An older revision, or a draft, decides again' }),
  })
  .refine(
    ({ name, document, activate_revision: revision }) => [name, document, revision].some((one) => one !== undefined),
    {
      error: 'must name a member to change',
    },
  )
  .refine(({ document, activate }) => activate === undefined || document !== undefined, {
    path: ['activate'],
    error: 'goes with a document; activate_revision names a stored one',
  })
  .refine(({ document, activate_revision: revision }) => revision === undefined || document === undefined, {
    path: ['activate_revision'],
    error: 'does not go with a document',
  })

export const policiesUpdate = defineOperation({
  id: 'policies.update',
  method: 'patch',
  path: '/api/v2/policies/:id',
  summary: 'Change a policy',
  description:
    'Stores a document as the next revision, which decides from then on, or lets a stored one decide. Nothing decides that is not valid or whose tests fail: the revision before stays. A `revision` in the document must be the active or the latest one, as it was read, and becomes its own number. The newest 100 revisions are kept, and the active one.',
  scopes: ['policies:write'],
  params: z.strictObject({ id: policyId }),
  body,
  data: policyView,
  example: {
    body: { document: documentExample },
    data: { ...policyExample, version: 2, active_revision: 2, latest_revision: 2 },
  },
  statuses: [200],
  headers: policyIfMatch,
  responseHeaders: policyEtag,
  errors: [
    'object.not_found',
    'precondition.required',
    'precondition.failed',
    'policy.invalid',
    'quota.exceeded',
    'rate.limited',
    'outcome.unknown',
  ],
  idempotent: true,
  async handle({ policies }, { caller, params, ifMatch, body: { activate_revision: activateRevision, ...patch } }) {
    return answerPolicy(await policies.update(caller, params.id, ifMatch, { ...patch, activateRevision }))
  },
})
