import { z } from 'zod'
import { credentialTypes } from '../../vault/credential-types.ts'
import { enableHeader, newCustodyKey, parseEnable, writeCustodyKey } from '../custody-headers.ts'
import { defineOperation } from '../operation.ts'
import { displayName, jsonObject } from '../schemas.ts'
import { entryExample, vaultEntry, vaultEntryToWire } from '../vault-entry.ts'

export const vaultSeal = defineOperation({
  id: 'vault.seal',
  method: 'post',
  path: '/api/v2/vault/seal',
  summary: 'Seal a credential',
  description:
    'Encrypts the values under the tenant key (ML-KEM-768) and a share that the key wrapper holds. They come back only through unseal. With X-Vault-Enable-MPC: true the entry is in split custody: a third part, the custody key, is made, returned in this answer and not stored. Nothing opens the entry without it; integrations on it run only while a holder has unlocked them.',
  scopes: ['vault:write'],
  body: z.strictObject({
    name: displayName.optional(),
    credential_type: z.enum(credentialTypes),
    values: jsonObject.meta({
      description:
        'The secret: 1 to 64 members, 64 KiB as JSON. For MQTT a custom_kv with hostname and port, or in their place hosts, a list of up to 8 {hostname, port} of one broker that are tried in their order; username, password, client_cert, client_key, ca_cert.',
    }),
    ttl_days: z.int().min(1).max(365).optional().meta({ description: 'Days until the entry expires; absent: never' }),
    metadata: jsonObject.optional().meta({ description: 'Not secret: at most 8 KiB, shown in lists' }),
  }),
  headers: enableHeader,
  data: z.strictObject({ ...vaultEntry.shape, custody_key: newCustodyKey }).meta({ id: 'SealedEntry' }),
  example: {
    body: {
      name: 'plant broker',
      credential_type: 'custom_kv',
      values: { hostname: 'broker.example', port: 8883, username: 'sealwire', password: 'correct horse' },
      ttl_days: 90,
    },
    data: { ...entryExample, custody_key: null },
  },
  statuses: [201],
  errors: ['vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  idempotent: true,
  async handle({ vault }, { caller, body, header }) {
    const input = {
      name: body.name,
      credentialType: body.credential_type,
      values: body.values,
      ttlDays: body.ttl_days,
      metadata: body.metadata,
    }
    const sealed = await vault.seal(caller, input, { enable: parseEnable({ header }) })
    const kept = { ...vaultEntryToWire(sealed), custody_key: null }
    return { data: { ...kept, custody_key: writeCustodyKey(sealed.custodyShare) }, kept }
  },
})
