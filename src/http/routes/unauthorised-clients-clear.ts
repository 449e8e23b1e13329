import { z } from 'zod'
import { defineOperation } from '../operation.ts'

export const unauthorisedClientsClear = defineOperation({
  id: 'unauthorised_clients.clear',
  method: 'delete',
  path: '/api/v2/clients/unauthorised',
  summary: 'Empty the list of clients that were not let in',
  description: 'The audit log says who did it, and how many there were.',
  scopes: ['policies:write'],
  data: z.strictObject({ deleted: z.int().min(0) }).meta({ id: 'ClearedUnauthorisedClients' }),
  example: { data: { deleted: 17 } },
  statuses: [200],
  errors: ['outcome.unknown'],
  async handle({ unauthorisedClients }, { caller }) {
    return { data: { deleted: await unauthorisedClients.clear(caller) } }
  },
})
