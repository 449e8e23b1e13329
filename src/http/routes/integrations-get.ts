import { z } from 'zod'
import { answerOf, etagHeader, integrationExample, integrationView } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId } from '../schemas.ts'

export const integrationsGet = defineOperation({
  id: 'integrations.get',
  method: 'get',
  path: '/api/v2/integrations/:id',
  summary: 'Show an integration',
  scopes: ['integrations:read'],
  params: z.strictObject({ id: integrationId }),
  data: integrationView,
  example: { data: integrationExample },
  statuses: [200],
  responseHeaders: etagHeader,
  errors: ['object.not_found', 'integration.invalid'],
  async handle(services, { caller, params }) {
    return answerOf(services, await services.integrations.get(caller.tenantId, params.id))
  },
})
