import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'

export const recipientsList = defineOperation({
  id: 'recipients.list',
  method: 'get',
  path: '/api/v2/recipients',
  summary: 'List recipients',
  description: 'Those of the calling API key; of the whole tenant for a key with keys:manage.',
  scopes: ['recipients:enroll', 'keys:manage'],
  data: z.array(recipient),
  example: { data: [recipientExample] },
  statuses: [200],
  errors: [],
  async handle({ recipients }, { principal }) {
    const all = await recipients.list(principal.tenantId)
    const visible = principal.scopes.has('keys:manage') ? all : all.filter((one) => one.apiKeyId === principal.keyId)
    return { data: visible.map(recipientToWire) }
  },
})
