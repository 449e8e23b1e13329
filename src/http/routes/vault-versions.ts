import { z } from 'zod'
import { defineOperation } from '../operation.ts'
import { entryId, timestamp } from '../schemas.ts'

const version = z
  .strictObject({
    version: z.int().min(1),
    credential_type: z.string(),
    is_current: z.boolean(),
    created_at: timestamp,
  })
  .meta({ id: 'VaultVersion' })

export const vaultVersions = defineOperation({
  id: 'vault.versions',
  method: 'get',
  path: '/api/v2/vault/entries/:id/versions',
  summary: 'List the versions of a vault entry',
  scopes: ['vault:read'],
  params: z.strictObject({ id: entryId }),
  data: z.array(version),
  example: {
    data: [{ version: 1, credential_type: 'custom_kv', is_current: true, created_at: '2026-11-21T09:00:00.000Z' }],
  },
  statuses: [200],
  errors: ['object.not_found'],
  async handle({ vault }, { caller, params }) {
    const versions = await vault.versions(caller.tenantId, params.id)
    return {
      data: versions.map((one) => ({
        version: one.version,
        credential_type: one.credentialType,
        is_current: one.current,
        created_at: one.createdAt.toISOString(),
      })),
    }
  },
})
