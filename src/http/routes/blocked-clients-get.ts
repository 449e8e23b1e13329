import { z } from 'zod'
import { blockedClient, blockedClientExample, blockedClientId, blockedClientToWire } from '../client-view.ts'
import { defineOperation } from '../operation.ts'

export const blockedClientsGet = defineOperation({
  id: 'blocked_clients.get',
  method: 'get',
  path: '/api/v2/clients/blocked/:id',
  summary: 'Read a blocked client',
  scopes: ['policies:read'],
  params: z.strictObject({ id: blockedClientId }),
  data: blockedClient,
  example: { data: blockedClientExample },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ blockedClients, clock }, { caller, params }) {
    return { data: blockedClientToWire(await blockedClients.get(caller.tenantId, params.id), clock.now()) }
  },
})
