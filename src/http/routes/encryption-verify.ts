import { z } from 'zod'
import { SIGNATURE_ALGORITHM } from '../../envelope/envelope.ts'
import { verifyData } from '../../envelope/signed-data.ts'
import { bytesOfCaller, callerData } from '../caller-data.ts'
import { dataSignatureExample } from '../data-signature.ts'
import { defineOperation } from '../operation.ts'

/** Longer than both signatures in base64; what is longer is no signature, and is refused by its form. */
const signatureText = z.string().max(8192)
const keyId = z.string().max(64)
const nothingValid = { pqcValid: false, hmacValid: false }

export const encryptionVerify = defineOperation({
  id: 'encryption.verify',
  method: 'post',
  path: '/api/v2/encryption/verify',
  summary: 'Verify a signature over data of your own',
  description:
    'Takes the data and what `/encryption/sign` answered. A signature that is not right, whatever is wrong with it, is `valid: false`. Keys that were replaced since still verify.',
  scopes: ['encryption:use'],
  body: z.strictObject({
    ...callerData,
    algorithm: z.literal(SIGNATURE_ALGORITHM).optional(),
    key_id: keyId,
    mac_key_id: keyId,
    pqc_signature: signatureText.meta({ description: 'base64, 3309 bytes' }),
    hmac_signature: signatureText.meta({ description: 'base64, 64 bytes' }),
  }),
  data: z
    .strictObject({
      valid: z.boolean().meta({ description: 'Both are valid' }),
      pqc_valid: z.boolean(),
      hmac_valid: z.boolean(),
      algorithm: z.literal(SIGNATURE_ALGORITHM),
      key_id: z.string(),
      key_state: z.enum(['active', 'retired']).nullable().meta({ description: 'null: no such pair of keys' }),
    })
    .meta({ id: 'VerifiedSignature' }),
  example: {
    body: { data: 'batch 17 released', ...dataSignatureExample },
    data: {
      valid: true,
      pqc_valid: true,
      hmac_valid: true,
      algorithm: SIGNATURE_ALGORITHM,
      key_id: dataSignatureExample.key_id,
      key_state: 'active',
    },
  },
  statuses: [200],
  errors: ['signer.busy', 'vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle({ tenantSigningKeys, dataQueue, audit }, { principal, caller, body }) {
    const data = bytesOfCaller(body)
    const ids = { keyId: body.key_id, macKeyId: body.mac_key_id }
    const place = dataQueue.reserve(principal.tenantId)
    try {
      const keys = await tenantSigningKeys.verifyingKeys(principal.tenantId, ids)
      const { pqcValid, hmacValid } = keys ? await place.run(() => verifyData(keys, data, body)) : nothingValid
      const valid = pqcValid && hmacValid
      await audit.record({
        ...caller,
        action: 'encryption.verify',
        outcome: 'success',
        detail: { key_id: body.key_id, bytes: data.length, valid },
      })
      return {
        data: {
          valid,
          pqc_valid: pqcValid,
          hmac_valid: hmacValid,
          algorithm: SIGNATURE_ALGORITHM as typeof SIGNATURE_ALGORITHM,
          key_id: body.key_id,
          key_state: keys?.state ?? null,
        },
      }
    } finally {
      place.release()
    }
  },
})
