import { z } from 'zod'
import { unauthorisedClientExample, unauthorisedClientId } from '../client-view.ts'
import { defineOperation } from '../operation.ts'

export const unauthorisedClientsDelete = defineOperation({
  id: 'unauthorised_clients.delete',
  method: 'delete',
  path: '/api/v2/clients/unauthorised/:id',
  summary: 'Remove a client from the list of those that were not let in',
  description: 'It comes back with its next attempt that fails.',
  scopes: ['policies:write'],
  params: z.strictObject({ id: unauthorisedClientId }),
  data: z
    .strictObject({ id: unauthorisedClientId, deleted: z.literal(true) })
    .meta({ id: 'DeletedUnauthorisedClient' }),
  example: { data: { id: unauthorisedClientExample.id, deleted: true } },
  statuses: [200],
  errors: ['object.not_found', 'outcome.unknown'],
  async handle({ unauthorisedClients }, { caller, params }) {
    await unauthorisedClients.remove(caller, params.id)
    return { data: { id: params.id, deleted: true as const } }
  },
})
