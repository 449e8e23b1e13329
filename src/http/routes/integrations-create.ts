import { createIntegrationBody } from '../../integrations/bodies.ts'
import { answerOf, etagHeader, integrationExample, integrationView } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'

export const integrationsCreate = defineOperation({
  id: 'integrations.create',
  method: 'post',
  path: '/api/v2/integrations',
  summary: 'Create an integration',
  description:
    'Connects a credential to what may be done with it. Default deny: without allowed_operations nothing may be done; without config.topic or config.topics no topic is allowed. The hosts, ports and certificates of the credential are judged where they can be opened now; names are resolved, and judged by their addresses, at every connect.',
  scopes: ['integrations:write'],
  body: createIntegrationBody,
  data: integrationView,
  example: {
    body: {
      name: 'plant line 4',
      system_type: 'mqtt',
      credential_id: integrationExample.credential_id,
      allowed_operations: ['publish'],
      config: { topic: 'sensors/temperature', qos: 1 },
    },
    data: integrationExample,
  },
  statuses: [201],
  responseHeaders: etagHeader,
  errors: ['integration.invalid', 'destination.not_allowed', 'outcome.unknown'],
  idempotent: true,
  async handle(services, { caller, body }) {
    return answerOf(services, await services.integrations.create(caller, body))
  },
})
