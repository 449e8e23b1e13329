import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId } from '../schemas.ts'
import { entryExample } from '../vault-entry.ts'

export const vaultDelete = defineOperation({
  id: 'vault.delete',
  method: 'delete',
  path: '/api/v2/vault/entries/:id',
  summary: 'Delete a vault entry',
  description: 'Refused with the list of integrations that use it.',
  scopes: ['vault:write'],
  params: z.strictObject({ id: entryId }),
  data: z.strictObject({ id: entryId, deleted: z.literal(true) }).meta({ id: 'DeletedEntry' }),
  example: { data: { id: entryExample.id, deleted: true } },
  statuses: [200],
  errors: ['object.not_found', 'object.in_use', 'outcome.unknown'],
  async handle({ vault }, { caller, params }) {
    await vault.remove(caller, params.id)
    return { data: { id: params.id, deleted: true as const } }
  },
})
