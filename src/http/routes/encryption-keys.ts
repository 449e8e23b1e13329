import { z } from 'zod'
import { toBase64 } from '../../core/base64.ts'
import { defineOperation } from '../operation.ts'
import { answerPage, pageQuery, pagesOf } from '../paging.ts'
import { exampleId, timestamp } from '../schemas.ts'

export const encryptionKeys = defineOperation({
  id: 'encryption.keys',
  method: 'get',
  path: '/api/v2/encryption/keys',
  summary: 'List the keys that verify signatures over data',
  description:
    'The public halves of the keys of `/encryption/sign`, newest first, those that were replaced included. They belong to the tenant and verify no envelope.',
  scopes: ['encryption:use', 'keys:manage'],
  query: pageQuery,
  data: z.array(
    z
      .strictObject({
        key_id: z.string(),
        mac_key_id: z.string(),
        algorithm: z.literal('ML-DSA-65'),
        public_key: z.string().meta({ description: 'base64, 1952 bytes' }),
        state: z.enum(['next', 'active', 'retired', 'revoked', 'destroyed']),
        created_at: timestamp,
      })
      .meta({ id: 'DataVerificationKey' }),
  ),
  example: {
    data: [
      {
        key_id: exampleId('sig'),
        mac_key_id: exampleId('mac'),
        algorithm: 'ML-DSA-65',
        public_key: toBase64(new Uint8Array(1952)),
        state: 'active',
        created_at: '2026-11-21T09:00:00.000Z',
      },
    ],
  },
  statuses: [200],
  errors: [],
  async handle(services, request) {
    const { tenantId } = request.principal
    const sets = pagesOf((page) => services.tenantSigningKeys.list(tenantId, 'sign', page))
    return answerPage(services, 'encryption.keys', request, sets, ({ signing, macKeyId, state, createdAt }) => ({
      key_id: signing?.keyId ?? '',
      mac_key_id: macKeyId,
      algorithm: 'ML-DSA-65' as const,
      public_key: toBase64(signing?.publicKey ?? new Uint8Array()),
      state,
      created_at: createdAt.toISOString(),
    }))
  },
})
