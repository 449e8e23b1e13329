import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import { defineOperation } from '../operation.ts'
import { exampleId } from '../schemas.ts'
import { tenantKeyPurpose } from '../tenant-key-view.ts'

export const securityKeysRotate = defineOperation({
  id: 'tenant_keys.rotate',
  method: 'post',
  path: '/api/v2/security/keys/:purpose/rotate',
  summary: 'Rotate a key of the tenant',
  description:
    'For API keys with the role `owner`. The new key is in use at once, in every process. `vault`: what the old key guards is moved in the background, record by record, while it goes on opening; its private half is destroyed a minute after the last one has moved. `sign`, `object`, `version-1`: what was signed still verifies and what was sealed still opens.',
  scopes: ['keys:manage'],
  params: z.strictObject({ purpose: tenantKeyPurpose }),
  data: z
    .strictObject({
      purpose: tenantKeyPurpose,
      id: z.string().meta({ description: 'The new key' }),
      retired_id: z.string().nullable().meta({ description: 'The key before it; null for the first one' }),
    })
    .meta({ id: 'RotatedTenantKey' }),
  example: { data: { purpose: 'vault', id: exampleId('kem'), retired_id: exampleId('kem') } },
  statuses: [200],
  errors: ['object.not_found', 'object.in_use', 'precondition.failed', 'kms.unavailable', 'outcome.unknown'],
  idempotent: true,
  async handle({ vaultKeys, tenantSigningKeys }, { caller, principal, params: { purpose } }) {
    if (principal.role !== 'owner') {
      throw new AppError('auth.forbidden', 'Keys of the tenant are rotated with an API key of the role owner.')
    }
    const { keyId, retiredKeyId } =
      purpose === 'vault'
        ? await vaultKeys.rotate(caller)
        : await tenantSigningKeys.rotate(caller, principal.tenantId, purpose)
    return { data: { purpose, id: keyId, retired_id: retiredKeyId } }
  },
})
