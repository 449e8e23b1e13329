import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'
import { entryExample, vaultEntry, vaultEntryToWire } from '../vault-entry.ts'

export const vaultList = defineOperation({
  id: 'vault.list',
  method: 'get',
  path: '/api/v2/vault/entries',
  summary: 'List vault entries',
  description: 'Metadata only, newest first.',
  scopes: ['vault:read'],
  query: pageQuery,
  data: z.array(vaultEntry),
  example: { data: [entryExample] },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const read = pagesOf((page) => services.vault.list(request.caller.tenantId, page))
    return answerPage(services, 'vault.list', request, read, vaultEntryToWire)
  },
})
