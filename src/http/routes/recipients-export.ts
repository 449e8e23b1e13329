import { z } from 'zod'
import { wipe } from '../../core/bytes.ts'
import { AppError } from '../../core/errors.ts'
import { version1MacKey } from '../../envelope/version-1.ts'
import { defineOperation } from '../operation.ts'
import { recipientId } from '../schemas.ts'
import { exportedVersion1Example, exportedVersion1Keys, exportedVersion1ToWire } from '../version-1-keys.ts'

export const recipientsExport = defineOperation({
  id: 'recipients.export',
  method: 'post',
  path: '/api/v2/recipients/:id/export',
  summary: 'Hand out the keys that open version 1',
  description:
    'For API keys with the role `owner`. What a decoder of envelope version 1 needs: whoever has it opens every answer of the tenant that was asked for in version 1, and can forge its HMAC, though not its ML-DSA signature. There is nothing to hand out for recipients of version 2.',
  scopes: ['keys:manage'],
  params: z.strictObject({ id: recipientId }),
  data: exportedVersion1Keys,
  example: { data: exportedVersion1Example },
  statuses: [200],
  enveloped: true,
  handsOutKeys: true,
  errors: [
    'object.not_found',
    'recipient.required',
    'signer.busy',
    'vault.unavailable',
    'kms.unavailable',
    'outcome.unknown',
  ],
  async handle({ tenantSigningKeys, provider }, { caller, principal, params, admit }) {
    if (principal.role !== 'owner')
      throw new AppError('auth.forbidden', 'Keys of the tenant are handed out to an API key of the role owner.')
    admit()
    const { keys, kemSeed, hmacSecret } = await tenantSigningKeys.exportVersion1(caller, principal.tenantId, params.id)
    const hmacKey = version1MacKey(provider, hmacSecret)
    const data = exportedVersion1ToWire(principal.tenantId, keys, { kemSeed, hmacSecret, hmacKey })
    wipe(kemSeed, hmacSecret, hmacKey)
    return { data, subject: params.id, keep: false }
  },
})
