import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'
import { recipientId } from '../schemas.ts'

export const recipientsGet = defineOperation({
  id: 'recipients.get',
  method: 'get',
  path: '/api/v2/recipients/:id',
  summary: 'Get a recipient',
  description: 'One of the calling API key; any of the tenant for a key with keys:manage.',
  scopes: ['recipients:enroll', 'keys:manage'],
  params: z.strictObject({ id: recipientId }),
  data: recipient,
  example: { data: recipientExample },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ recipients }, { principal, params }) {
    return { data: recipientToWire(await recipients.get(principal, params.id)) }
  },
})
