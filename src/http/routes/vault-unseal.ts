import { z } from 'zod'
import type { CustodyShare } from '../../vault/vault.ts'
import { custodyKeyHeader, withCustodyKey } from '../custody-headers.ts'
import { defineOperation } from '../operation.ts'
import { entryId, jsonObject } from '../schemas.ts'
import { entryExample } from '../vault-entry.ts'

export const vaultUnseal = defineOperation({
  id: 'vault.unseal',
  method: 'post',
  path: '/api/v2/vault/unseal/:id',
  summary: 'Unseal a credential',
  description:
    'Returns the values in the clear. Each call is on the audit log before it is answered. An entry in split custody needs its custody key.',
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
  headers: custodyKeyHeader,
  errors: [
    'object.not_found',
    'credential.expired',
    'custody.required',
    'custody.rejected',
    'rate.limited',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle({ vault }, { caller, params, header }) {
    const unseal = (share?: CustodyShare) => vault.unseal(caller, params.id, share)
    const { credentialType, version, values } = await withCustodyKey({ header }, unseal)
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
