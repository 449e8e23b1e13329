import { z } from 'zod'
import { signData } from '../../envelope/signed-data.ts'
import { bytesOfCaller, callerData } from '../caller-data.ts'
import { dataSignature, dataSignatureExample } from '../data-signature.ts'
import { defineOperation } from '../operation.ts'

export const encryptionSign = defineOperation({
  id: 'encryption.sign',
  method: 'post',
  path: '/api/v2/encryption/sign',
  summary: 'Sign data of your own',
  description:
    'Signs the bytes as they are, with keys that the tenant has for this and nothing else. Whoever holds the public key (`GET /api/v2/encryption/keys`) can verify the ML-DSA signature with the context string `sealwire/sign/v1`; no such signature is ever an envelope.',
  scopes: ['encryption:use'],
  body: z.strictObject(callerData),
  data: dataSignature,
  example: { body: { data: 'batch 17 released' }, data: dataSignatureExample },
  statuses: [200],
  errors: ['signer.busy', 'vault.unavailable', 'kms.unavailable', 'outcome.unknown'],
  async handle({ tenantSigningKeys, dataQueue, audit }, { principal, caller, body }) {
    const data = bytesOfCaller(body)
    const place = dataQueue.reserve(principal.tenantId)
    try {
      const keys = await tenantSigningKeys.signingKeys(principal.tenantId)
      const signed = await place.run(() => signData(keys, data))
      await audit.record({
        ...caller,
        action: 'encryption.sign',
        outcome: 'success',
        object: { kind: 'key', id: keys.keyId },
        detail: { key_id: keys.keyId, bytes: data.length },
      })
      return { data: signed }
    } finally {
      place.release()
    }
  },
})
