import { z } from 'zod'
import { integrationExample } from '../integration-view.ts'
import { defineOperation } from '../operation.ts'
import { integrationId } from '../schemas.ts'

export const integrationsLock = defineOperation({
  id: 'integrations.lock',
  method: 'post',
  path: '/api/v2/integrations/:id/lock',
  summary: 'Lock an integration that was unlocked',
  description:
    'Wipes its custody key in every process, here before this is answered, elsewhere within a second. Connections take no new work and end when what runs on them has ended, within 30 s.',
  scopes: ['integrations:write'],
  params: z.strictObject({ id: integrationId }),
  data: z
    .strictObject({ id: integrationId, locked: z.literal(true), process_id: z.string() })
    .meta({ id: 'LockedIntegration' }),
  example: { data: { id: integrationExample.id, locked: true, process_id: '9f2c41d07be6a853' } },
  statuses: [200],
  errors: ['object.not_found', 'integration.invalid', 'outcome.unknown'],
  async handle({ custody }, { caller, params }) {
    await custody.lock(caller, params.id)
    return { data: { id: params.id, locked: true as const, process_id: custody.processId } }
  },
})
