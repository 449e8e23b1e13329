import { z } from 'zod'
import { AppError } from '../../core/errors.ts'
import { storedObjectClaims, writeStoredObject } from '../../envelope/stored-object.ts'
import { bytesOfCaller, callerData, encryptionContext } from '../caller-data.ts'
import { exampleEnvelope } from '../envelope-example.ts'
import { defineOperation } from '../operation.ts'
import { envelope } from '../schemas.ts'

/**
 * Largest object: its envelope, and the context beside it, fit into the body of a request that decrypts it (1 MiB), after
 * base64 twice.
 */
const MAX_OBJECT_BYTES = 512 * 1024

export const encryptionEncrypt = defineOperation({
  id: 'encryption.encrypt',
  method: 'post',
  path: '/api/v2/encryption/encrypt',
  summary: 'Encrypt data of your own',
  description:
    'Seals up to 512 KiB to the object key of the tenant and signs it as answers are signed. Keep the envelope as it is: it does not expire, nothing of it is kept here, and `/encryption/decrypt` opens it for any API key of the tenant that says the same `encryption_context`.',
  scopes: ['encryption:use'],
  body: z.strictObject({ ...callerData, encryption_context: encryptionContext.optional() }),
  data: z
    .strictObject({ envelope, algorithm: z.string(), key_id: z.string() })
    .meta({ id: 'EncryptedObject', description: '`envelope` is a `stored.object`' }),
  example: {
    body: { data: 'recipe 17', encryption_context: { purpose: 'backup' } },
    data: { envelope: exampleEnvelope, algorithm: 'ML-KEM-768', key_id: 'kem_01kat4hvr07rf9mm9f7nrvz4gg' },
  },
  statuses: [200],
  errors: ['signer.busy', 'vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle({ tenantSigningKeys, signer, clock, audit }, { principal, caller, body }) {
    const data = bytesOfCaller(body)
    if (data.length > MAX_OBJECT_BYTES)
      throw new AppError('request.too_large', `body.data: an object holds at most ${MAX_OBJECT_BYTES} bytes.`)
    const reservation = signer.reserve()
    try {
      const recipient = await tenantSigningKeys.objectRecipient(principal.tenantId)
      const claims = storedObjectClaims(caller.requestId, Math.floor(clock.now() / 1000))
      const plaintext = writeStoredObject(body.encryption_context ?? {}, data)
      const sealed = await reservation.seal({ recipient, claims, plaintext })
      await audit.record({
        ...caller,
        action: 'encryption.encrypt',
        outcome: 'success',
        object: { kind: 'envelope', id: caller.requestId },
        detail: { kem_key_id: recipient.kemKeyId, bytes: data.length },
      })
      const sealedEnvelope = JSON.parse(sealed) as z.input<typeof envelope>
      const { algorithm, key_id } = sealedEnvelope.encrypted
      return { data: { envelope: sealedEnvelope, algorithm, key_id } }
    } finally {
      reservation.release()
    }
  },
})
