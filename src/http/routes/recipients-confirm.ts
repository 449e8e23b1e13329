import { z } from 'zod'
import { fromBase64 } from '../../core/base64.ts'
import { defineOperation } from '../operation.ts'
import { recipient, recipientExample, recipientToWire } from '../recipient.ts'
import { base64Bytes, recipientId } from '../schemas.ts'

export const recipientsConfirm = defineOperation({
  id: 'recipients.confirm',
  method: 'post',
  path: '/api/v2/recipients/:id/confirm',
  summary: 'Enrol a recipient, step two',
  description:
    'Proves that the envelope of step one was opened; the recipient becomes active and the answers to this API key are sealed to it from now on.',
  scopes: ['recipients:enroll', 'keys:manage'],
  params: z.strictObject({ id: recipientId }),
  body: z.strictObject({ proof: base64Bytes(64).meta({ description: 'HMAC-SHA-512, base64, 64 bytes' }) }),
  data: recipient,
  example: { data: recipientExample },
  statuses: [200],
  errors: ['object.not_found', 'vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle({ recipients }, { caller, principal, params, body }) {
    return {
      data: recipientToWire(
        await recipients.confirm(caller, principal, params.id, fromBase64(body.proof) ?? new Uint8Array()),
      ),
    }
  },
})
