import { z } from 'zod'
import { patchIntegrationBody } from '../../integrations/bodies.ts'
import { answerOf, etagHeader, integrationExample, integrationView } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId } from '../schemas.ts'

export const integrationsUpdate = defineOperation({
  id: 'integrations.update',
  method: 'patch',
  path: '/api/v2/integrations/:id',
  summary: 'Change an integration',
  description: 'Members that are absent stay; `config` is replaced whole.',
  scopes: ['integrations:write'],
  params: z.strictObject({ id: integrationId }),
  body: patchIntegrationBody,
  data: integrationView,
  example: {
    body: { allowed_operations: ['publish', 'subscribe'] },
    data: { ...integrationExample, allowed_operations: ['publish', 'subscribe'], revision: 2 },
  },
  statuses: [200],
  headers: { 'If-Match': 'The ETag of the revision that you read.' },
  responseHeaders: etagHeader,
  errors: [
    'object.not_found',
    'precondition.required',
    'precondition.failed',
    'integration.invalid',
    'destination.not_allowed',
    'outcome.unknown',
  ],
  idempotent: true,
  async handle(services, { caller, params, ifMatch, body }) {
    return answerOf(services, await services.integrations.update(caller, params.id, ifMatch, body))
  },
})
