import { z } from 'zod'
import { integrationExample } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId } from '../schemas.ts'

export const integrationsDelete = defineOperation({
  id: 'integrations.delete',
  method: 'delete',
  path: '/api/v2/integrations/:id',
  summary: 'Delete an integration',
  scopes: ['integrations:write'],
  params: z.strictObject({ id: integrationId }),
  data: z.strictObject({ id: integrationId, deleted: z.literal(true) }).meta({ id: 'DeletedIntegration' }),
  example: { data: { id: integrationExample.id, deleted: true } },
  statuses: [200],
  headers: { 'If-Match': 'The ETag of the revision that you read.' },
  errors: [
    'object.not_found',
    'integration.invalid',
    'precondition.required',
    'precondition.failed',
    'outcome.unknown',
  ],
  async handle({ integrations }, { caller, params, ifMatch }) {
    await integrations.remove(caller, params.id, ifMatch)
    return { data: { id: params.id, deleted: true as const } }
  },
})
