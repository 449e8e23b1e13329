import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId, jsonObject } from '../schemas.ts'
import { entryExample, VAULT_ALGORITHM } from '../vault-entry.ts'

export const vaultRotate = defineOperation({
  id: 'vault.rotate',
  method: 'post',
  path: '/api/v2/vault/rotate/:id',
  summary: 'Rotate a credential',
  description:
    'Replaces the values, or encrypts the old ones anew when none are given. The id stays, so integrations follow; connections of the old version drain.',
  scopes: ['vault:write'],
  params: z.strictObject({ id: entryId }),
  body: z.strictObject({ values: jsonObject.optional() }),
  data: z
    .strictObject({
      id: entryId,
      credential_id: entryId,
      new_entry_id: entryId,
      old_entry_id: entryId,
      version: z.int().min(2),
      algorithm: z.string(),
    })
    .meta({ id: 'RotatedEntry' }),
  example: {
    body: { values: { hostname: 'broker.example', port: 8883, username: 'sealwire', password: 'battery staple' } },
    data: {
      id: entryExample.id,
      credential_id: entryExample.id,
      new_entry_id: entryExample.id,
      old_entry_id: entryExample.id,
      version: 2,
      algorithm: VAULT_ALGORITHM,
    },
  },
  statuses: [200],
  errors: [
    'object.not_found',
    'credential.expired',
    'vault.unavailable',
    'kms.unavailable',
    'precondition.failed',
    'outcome.unknown',
  ],
  idempotent: true,
  async handle({ vault }, { caller, params, body }) {
    const { version } = await vault.rotate(caller, params.id, body.values)
    const { id } = params
    return { data: { id, credential_id: id, new_entry_id: id, old_entry_id: id, version, algorithm: VAULT_ALGORITHM } }
  },
})
