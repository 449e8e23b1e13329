import { z } from 'zod'
import { blockedClientExample, blockedClientId } from '../client-view.ts'
import { defineOperation } from '../operation.ts'

export const blockedClientsDelete = defineOperation({
  id: 'blocked_clients.delete',
  method: 'delete',
  path: '/api/v2/clients/blocked/:id',
  summary: 'Unblock a client',
  description: 'Within five seconds it may log in again, if its credentials are good.',
  scopes: ['policies:write'],
  params: z.strictObject({ id: blockedClientId }),
  data: z.strictObject({ id: blockedClientId, deleted: z.literal(true) }).meta({ id: 'DeletedBlockedClient' }),
  example: { data: { id: blockedClientExample.id, deleted: true } },
  statuses: [200],
  errors: ['object.not_found', 'outcome.unknown'],
  async handle({ blockedClients }, { caller, params }) {
    await blockedClients.unblock(caller, params.id)
    return { data: { id: params.id, deleted: true as const } }
  },
})
