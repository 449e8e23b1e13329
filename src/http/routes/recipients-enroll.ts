import { z } from 'zod'
import { fromBase64, toBase64 } from '../../core/base64.ts'
import { enrolmentData } from '../../envelope/enrolment.ts'
import { SUITE_NAMES } from '../../envelope/suites.ts'
import { defineOperation } from '../operation.ts'
import { displayName, recipientId } from '../schemas.ts'

/** The longest key, that of X-Wing: 1216 bytes. */
const MAX_KEY_CHARACTERS = 1624

export const recipientsEnroll = defineOperation({
  id: 'recipients.enroll',
  method: 'post',
  path: '/api/v2/recipients',
  summary: 'Enrol a recipient, step one',
  description:
    'Makes a pending recipient of a key that the client made, and answers with an envelope sealed to it. It becomes active with the proof of step two, or dies after ten minutes.',
  scopes: ['recipients:enroll', 'keys:manage'],
  body: z.strictObject({
    kem_public_key: z
      .string()
      .max(MAX_KEY_CHARACTERS)
      .refine((text) => fromBase64(text) !== undefined, 'must be canonical base64')
      .meta({ description: 'Encapsulation key of the suite, base64: 1184 bytes of ML-KEM-768, 1216 of X-Wing' }),
    suite: z.enum(SUITE_NAMES).meta({ description: 'Belongs to the key from enrolment to its end' }),
    name: displayName,
  }),
  data: z
    .strictObject({
      recipient_id: recipientId,
      kem_key_id: z.string(),
      mac_key_id: z.string(),
      mac_key: z.string().meta({ description: 'base64, 64 bytes' }),
    })
    .meta({ id: 'PendingRecipient' }),
  example: {
    data: {
      recipient_id: 'rcp_01kat4hvr07rf9mm9f7nrvz4gg',
      kem_key_id: 'kem_01kat4hvr07rf9mm9f7nrvz4gg',
      mac_key_id: 'mac_01kat4hvr07rf9mm9f7nrvz4gg',
      mac_key: toBase64(new Uint8Array(64)),
    },
  },
  statuses: [201],
  enveloped: true,
  handsOutKeys: true,
  errors: ['signer.busy', 'kms.unavailable', 'vault.unavailable', 'outcome.unknown'],
  async handle({ recipients }, { caller, principal, body, admit }) {
    admit()
    const { recipient, macKey } = await recipients.enroll(caller, principal, {
      kemPublicKey: fromBase64(body.kem_public_key) ?? new Uint8Array(),
      suite: body.suite,
      name: body.name,
    })
    const data = enrolmentData(recipient, macKey)
    return { data, recipient, subject: recipient.recipientId, keep: false }
  },
})
