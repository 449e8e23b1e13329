import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'
import { recipientId } from '../schemas.ts'

export const recipientsRevoke = defineOperation({
  id: 'recipients.revoke',
  method: 'delete',
  path: '/api/v2/recipients/:id',
  summary: 'Revoke a recipient',
  description:
    'Nothing is sealed to it any more. An API key that enrolled once does not fall back to a key that the server holds.',
  scopes: ['recipients:enroll', 'keys:manage'],
  params: z.strictObject({ id: recipientId }),
  data: recipient,
  example: { data: { ...recipientExample, state: 'revoked' } },
  statuses: [200],
  errors: ['object.not_found', 'outcome.unknown'],
  async handle({ recipients }, { caller, principal, params }) {
    return { data: recipientToWire(await recipients.revoke(caller, principal, params.id)) }
  },
})
