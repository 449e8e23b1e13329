import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'

export const recipientsList = defineOperation({
  id: 'recipients.list',
  method: 'get',
  path: '/api/v2/recipients',
  summary: 'List recipients',
  description: 'Newest first: those of the calling API key; of the whole tenant for a key with keys:manage.',
  scopes: ['recipients:enroll', 'keys:manage'],
  query: pageQuery,
  data: z.array(recipient),
  example: { data: [recipientExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { tenantId, keyId, scopes } = request.principal
    const apiKeyId = scopes.has('keys:manage') ? undefined : keyId
    const read = pagesOf((page) => services.recipients.list(tenantId, { ...page, apiKeyId }))
    return answerPage(services, 'recipients.list', request, read, recipientToWire)
  },
})
