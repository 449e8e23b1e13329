import { z } from 'zod'
import { fromBase64 } from '../core/base64.ts'
import { isId, isUuid } from '../core/ids.ts'

/** Time as RFC 3339 in UTC. */
export const timestamp = z.iso
  .datetime()
  .meta({ id: 'Timestamp', description: 'RFC 3339, UTC', example: '2026-11-21T09:00:00.000Z' })

/** A vault entry's id. */
export const entryId = z.string().refine(isUuid, 'must be a UUID in lower case').meta({
  id: 'VaultEntryId',
  description: 'Id of a vault entry: a UUID',
  example: '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10',
})

/** An id such as `int_…`: a prefix and a UUIDv7 in Crockford base32. */
export function idOf(prefix: Parameters<typeof isId>[0], name: string) {
  return z
    .string()
    .refine((text) => isId(prefix, text), `must be an id that begins with ${prefix}_`)
    .meta({ id: name, description: `Id with the prefix ${prefix}_`, example: exampleId(prefix) })
}

export function exampleId(prefix: string): string {
  return `${prefix}_01kat4hvr07rf9mm9f7nrvz4gg`
}

export const tenantId = idOf('ten', 'TenantId')
export const apiKeyId = idOf('key', 'ApiKeyId')
export const integrationId = idOf('int', 'IntegrationId')
export const policyId = idOf('pol', 'PolicyId')
export const recipientId = idOf('rcp', 'RecipientId')
export const requestId = idOf('req', 'RequestId')
export const messageId = idOf('msg', 'MessageId')

/** A name that people gave: 1 to 128 characters, no control characters. */
export const displayName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'must not hold control characters')
  .meta({ id: 'DisplayName', example: 'plant broker' })

/** Text of a query that rows are compared with; PostgreSQL knows no text with a NUL in it. */
export const filterText = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\0]*$/, 'must not hold NUL')

/** The answer format of `openapi/envelope.md`; opened and verified by the caller. */
export const envelope = z
  .strictObject({
    version: z.literal(2),
    protected: z.string().meta({ description: 'base64url of the protected header bytes' }),
    encrypted: z.strictObject({
      algorithm: z.string(),
      tenant_id: z.string(),
      key_id: z.string(),
      ciphertext_kem: z.string().meta({ description: 'base64, 1088 bytes' }),
      ciphertext_data: z.string().meta({ description: 'base64, nonce[12] || ciphertext || tag[16]' }),
      key_commitment: z.string().meta({ description: 'base64, 32 bytes' }),
    }),
    signature: z.strictObject({
      algorithm: z.literal('ML-DSA-65+HMAC-SHA-512'),
      tenant_id: z.string(),
      key_id: z.string(),
      mac_key_id: z.string(),
      pqc_signature: z.string().meta({ description: 'base64, 3309 bytes' }),
      hmac_signature: z.string().meta({ description: 'base64, 64 bytes' }),
      inclusion_proof: z.strictObject({
        leaf_index: z.int().min(0),
        tree_size: z.int().min(1).max(1024),
        hashes: z.array(z.string()).max(10),
      }),
    }),
  })
  .meta({
    id: 'HybridCryptoEnvelope',
    description: 'ML-KEM-768 encapsulated, AES-256-GCM encrypted, signed with ML-DSA-65 and HMAC-SHA-512.',
  })

/** The answer format of version 1, for who asked for it. */
export const envelopeVersion1 = z
  .strictObject({
    encrypted: z.strictObject({
      ciphertext_kem: z.string().meta({ description: 'base64, 1088 bytes' }),
      ciphertext_data: z.string().meta({ description: 'base64, nonce[12] || ciphertext || tag[16]' }),
      tenant_id: z.string().meta({ description: 'The tenant as UUID, 36 characters' }),
      algorithm: z.literal('ML-KEM-768'),
    }),
    signature: z.strictObject({
      pqc_signature: z.string().meta({ description: 'base64, 3309 bytes' }),
      hmac_signature: z.string().meta({ description: 'base64, 64 bytes' }),
      tenant_id: z.string(),
      algorithm: z.literal('ML-DSA-65+HMAC-SHA-512'),
    }),
  })
  .meta({
    id: 'HybridCryptoEnvelopeV1',
    description:
      'Only with `Envelope-Version: 1`, where the tenant allows it. Its plaintext is `{"ctx": {…}, "data": {…}}`: the members of the header of version 2, and what version 2 holds.',
  })

/** Standard base64 of exactly `size` bytes, in its canonical spelling. */
export function base64Bytes(size: number) {
  return z.string().refine((text) => fromBase64(text)?.length === size, `must be canonical base64 of ${size} bytes`)
}

/** Any JSON value, kept exactly as it was parsed: zod's own JSON types drop a member named `__proto__`. */
export const jsonValue = z
  .unknown()
  .refine((value) => value !== undefined, 'is missing')
  .meta({ id: 'JsonValue', override: { description: 'Any JSON value' } })

/** A JSON object, kept exactly as it was parsed. */
export const jsonObject = z
  .custom<Record<string, unknown>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object',
  )
  .meta({ id: 'JsonObject', override: { type: 'object', additionalProperties: true } })
