import { z } from 'zod'
import {
  custodyKeyHeader,
  enableHeader,
  newCustodyKey,
  parseEnable,
  withCustodyKey,
  writeCustodyKey,
} from '../custody-headers.ts'
import { defineOperation } from '../operation.ts'
import { entryId, jsonObject } from '../schemas.ts'
import { entryExample, VAULT_ALGORITHM } from '../vault-entry.ts'

export const vaultRotate = defineOperation({
  id: 'vault.rotate',
  method: 'post',
  path: '/api/v2/vault/rotate/:id',
  summary: 'Rotate a credential',
  description:
    'Replaces the values, or encrypts the old ones anew when none are given. The id stays, so integrations follow; connections of the old version drain. An entry in split custody stays in it, under the same custody key, which has to be sent; X-Vault-Enable-MPC: true makes a new one, and with new values needs no old one: the way out of a lost key. It also moves an ordinary entry into split custody. A new custody key destroys the shares of every version before. Integrations have to be unlocked anew. New values that an integration could not use (no host, no port, no PEM, a destination that is not allowed) are refused, and the details name it.',
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
      split_custody: z.boolean(),
      custody_key: newCustodyKey,
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
      split_custody: false,
      custody_key: null,
    },
  },
  statuses: [200],
  headers: { ...custodyKeyHeader, ...enableHeader },
  errors: [
    'object.not_found',
    'integration.invalid',
    'destination.not_allowed',
    'credential.expired',
    'custody.required',
    'custody.rejected',
    'rate.limited',
    'vault.unavailable',
    'kms.unavailable',
    'precondition.failed',
    'outcome.unknown',
  ],
  idempotent: true,
  async handle({ vault }, { caller, params, body, header }) {
    const { id } = params
    const enable = parseEnable({ header })
    const { version, custody, custodyShare } = await withCustodyKey({ header }, (share) =>
      vault.rotate(caller, id, body.values, { share, enable }),
    )
    const ids = { id, credential_id: id, new_entry_id: id, old_entry_id: id }
    const kept = { ...ids, version, algorithm: VAULT_ALGORITHM, split_custody: custody === 1, custody_key: null }
    return { data: { ...kept, custody_key: writeCustodyKey(custodyShare) }, kept }
  },
})
