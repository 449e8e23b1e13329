import { z } from 'zod'
import { toBase64 } from '../core/base64.ts'
import { SIGNATURE_ALGORITHM } from '../envelope/envelope.ts'
import { exampleId } from './schemas.ts'

/** What `/encryption/sign` answers. */
export const dataSignature = z
  .strictObject({
    algorithm: z.literal(SIGNATURE_ALGORITHM),
    key_id: z.string(),
    mac_key_id: z.string(),
    pqc_signature: z.string().meta({ description: 'ML-DSA-65 with the context sealwire/sign/v1, base64, 3309 bytes' }),
    hmac_signature: z
      .string()
      .meta({ description: 'HMAC-SHA-512 over "sealwire/sign/v1", 0x00 and the data, base64, 64 bytes' }),
  })
  .meta({ id: 'DataSignature' })

export const dataSignatureExample: z.input<typeof dataSignature> = {
  algorithm: SIGNATURE_ALGORITHM,
  key_id: exampleId('sig'),
  mac_key_id: exampleId('mac'),
  pqc_signature: toBase64(new Uint8Array(3309)),
  hmac_signature: toBase64(new Uint8Array(64)),
}
