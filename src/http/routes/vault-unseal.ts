import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId, jsonObject } from '../schemas.ts'
import { entryExample } from '../vault-entry.ts'

export const vaultUnseal = defineOperation({
  id: 'vault.unseal',
  method: 'post',
  path: '/api/v2/vault/unseal/:id',
  summary: 'Unseal a credential',
  description: 'Returns the values in the clear. Each call is on the audit log before it is answered.',
  scopes: ['vault:unseal'],
  params: z.strictObject({ id: entryId }),
  data: z
    .strictObject({
      id: entryId,
      credential_type: z.string(),
      version: z.int().min(1),
      values: jsonObject,
    })
    .meta({ id: 'UnsealedEntry' }),
  example: {
    data: {
      id: entryExample.id,
      credential_type: 'custom_kv',
      version: 1,
      values: { hostname: 'broker.example', port: 8883 },
    },
  },
  statuses: [200],
  errors: ['object.not_found', 'credential.expired', 'vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle({ vault }, { caller, params }) {
    const { credentialType, version, values } = await vault.unseal(caller, params.id)
    return {
      data: {
        id: params.id,
        credential_type: credentialType,
        version,
        values,
      },
      keep: false,
    }
  },
})
