import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId } from '../schemas.ts'
import { entryExample, vaultEntry, vaultEntryToWire } from '../vault-entry.ts'

export const vaultGet = defineOperation({
  id: 'vault.get',
  method: 'get',
  path: '/api/v2/vault/entries/:id',
  summary: 'Show a vault entry',
  scopes: ['vault:read'],
  params: z.strictObject({ id: entryId }),
  data: vaultEntry,
  example: { data: entryExample },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ vault }, { caller, params }) {
    return { data: vaultEntryToWire(await vault.get(caller.tenantId, params.id)) }
  },
})
