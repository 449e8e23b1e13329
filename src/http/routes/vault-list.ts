import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryExample, vaultEntry, vaultEntryToWire } from '../vault-entry.ts'

export const vaultList = defineOperation({
  id: 'vault.list',
  method: 'get',
  path: '/api/v2/vault/entries',
  summary: 'List vault entries',
  description: 'Metadata only, newest first.',
  scopes: ['vault:read'],
  data: z.array(vaultEntry),
  example: { data: [entryExample] },
  statuses: [200],
  errors: [],
  async handle({ vault }, { caller }) {
    const entries = await vault.list(caller.tenantId)
    return { data: entries.map(vaultEntryToWire) }
  },
})
