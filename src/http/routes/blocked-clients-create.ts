import { z } from 'zod'
import {
  blockedClient,
  blockedClientExample,
  blockedClientToWire,
  blockedDescription,
  blockedType,
  blockedValue,
} from '../client-view.ts'
import { defineOperation } from '../operation.ts'
import { timestamp } from '../schemas.ts'

export const blockedClientsCreate = defineOperation({
  id: 'blocked_clients.create',
  method: 'post',
  path: '/api/v2/clients/blocked',
  summary: 'Block a client',
  description:
    'At every broker of the tenant that asks this server, within five seconds, whatever the client shows; also what a client that is connected already asks for. An address is compared where the broker tells it, which mosquitto-go-auth does not. At most 10,000, of which 100 expressions.',
  scopes: ['policies:write'],
  body: z.strictObject({
    type: blockedType,
    value: blockedValue,
    description: blockedDescription.optional(),
    expires_at: timestamp.optional().meta({ description: 'Absent: it does not expire' }),
  }),
  data: blockedClient,
  example: {
    body: { type: 'client_id', value: 'press-4', description: 'stolen' },
    data: blockedClientExample,
  },
  statuses: [201],
  idempotent: true,
  errors: ['object.in_use', 'quota.exceeded', 'outcome.unknown'],
  async handle({ blockedClients, clock }, { caller, body }) {
    const { type, value, description, expires_at: expiresAt } = body
    const entry = await blockedClients.block(caller, {
      type,
      value,
      description,
      expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    })
    return { data: blockedClientToWire(entry, clock.now()) }
  },
})
