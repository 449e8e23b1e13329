import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'
import { listVersion1Keys, version1Keys, version1KeysToWire } from '../version-1-keys.ts'

export const recipientsList = defineOperation({
  id: 'recipients.list',
  method: 'get',
  path: '/api/v2/recipients',
  summary: 'List recipients',
  description: 'Newest first: those of the calling API key; of the whole tenant for a key with keys:manage.',
  scopes: ['recipients:enroll', 'keys:manage'],
  query: pageQuery.extend({
    envelope_version: z
      .enum(['1', '2'])
      .optional()
      .meta({ description: '1: the public keys of the tenant’s envelopes of version 1 instead' }),
  }),
  data: z.array(z.union([recipient, version1Keys])),
  example: { data: [recipientExample] },
  statuses: [200],
  errors: ['vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle(services, request) {
    const { tenantId, keyId, scopes } = request.principal
    const apiKeyId = scopes.has('keys:manage') ? undefined : keyId
    if (request.query.envelope_version === '1') {
      const sets = pagesOf((page) => listVersion1Keys(services, tenantId, page))
      return answerPage(services, 'recipients.list', request, sets, (keys) => version1KeysToWire(tenantId, keys))
    }
    const read = pagesOf((page) => services.recipients.list(tenantId, { ...page, apiKeyId }))
    return answerPage(services, 'recipients.list', request, read, recipientToWire)
  },
})
