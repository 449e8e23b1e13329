import { z } from 'zod'
import { toBase64 } from '../core/base64.ts'
import { uuidOfId } from '../core/ids.ts'
import type { PublicKeySet } from '../keys/tenant-key-sets.ts'
import { exampleId, recipientId, timestamp } from './schemas.ts'
import type { Services } from './services.ts'

const members = {
  id: recipientId,
  envelope_version: z.literal(1),
  tenant_uuid: z.string().meta({ description: '`tenant_id` of envelopes of version 1' }),
  kem_key_id: z.string(),
  signing_key_id: z.string(),
  signing_public_key: z.string().meta({ description: 'ML-DSA-65, base64, 1952 bytes' }),
  mac_key_id: z.string(),
}

/** The public halves of keys of version 1. */
export const version1Keys = z
  .strictObject({
    ...members,
    kem_public_key: z.string().meta({ description: 'ML-KEM-768, base64, 1184 bytes' }),
    state: z.enum(['next', 'active', 'retired', 'revoked', 'destroyed']),
    created_at: timestamp,
  })
  .meta({ id: 'Version1Keys' })

/** What opens envelopes of version 1. */
export const exportedVersion1Keys = z
  .strictObject({
    ...members,
    kem_seed: z.string().meta({ description: 'd || z of ML-KEM-768 (FIPS 203 §7.1), base64, 64 bytes' }),
    hmac_secret: z.string().meta({ description: 'The tenant secret, base64, 64 bytes' }),
    hmac_key: z.string().meta({ description: 'SHA-512 of the tenant secret, base64, 64 bytes' }),
  })
  .meta({ id: 'ExportedVersion1Keys' })

const common = {
  id: exampleId('rcp'),
  envelope_version: 1 as const,
  tenant_uuid: '019aa48b-0af8-03d2-9a51-2f3d5c7b9e10',
  kem_key_id: exampleId('kem'),
  signing_key_id: exampleId('sig'),
  signing_public_key: toBase64(new Uint8Array(1952)),
  mac_key_id: exampleId('mac'),
}

export const exportedVersion1Example: z.input<typeof exportedVersion1Keys> = {
  ...common,
  kem_seed: toBase64(new Uint8Array(64)),
  hmac_secret: toBase64(new Uint8Array(64)),
  hmac_key: toBase64(new Uint8Array(64)),
}

function membersToWire(tenantId: string, { id, kem, signing, macKeyId }: PublicKeySet) {
  return {
    id,
    envelope_version: 1 as const,
    tenant_uuid: uuidOfId(tenantId),
    kem_key_id: kem?.keyId ?? '',
    signing_key_id: signing?.keyId ?? '',
    signing_public_key: toBase64(signing?.publicKey ?? new Uint8Array()),
    mac_key_id: macKeyId,
  }
}

export function version1KeysToWire(tenantId: string, keys: PublicKeySet): z.input<typeof version1Keys> {
  return {
    ...membersToWire(tenantId, keys),
    kem_public_key: toBase64(keys.kem?.publicKey ?? new Uint8Array()),
    state: keys.state,
    created_at: keys.createdAt.toISOString(),
  }
}

export function exportedVersion1ToWire(
  tenantId: string,
  keys: PublicKeySet,
  secrets: { kemSeed: Uint8Array; hmacSecret: Uint8Array; hmacKey: Uint8Array },
): z.input<typeof exportedVersion1Keys> {
  return {
    ...membersToWire(tenantId, keys),
    kem_seed: toBase64(secrets.kemSeed),
    hmac_secret: toBase64(secrets.hmacSecret),
    hmac_key: toBase64(secrets.hmacKey),
  }
}

/** One page of the sets of keys of version 1; makes the first set where the tenant allows version 1. */
export async function listVersion1Keys(
  { tenantSigningKeys, allowsVersion1 }: Pick<Services, 'tenantSigningKeys' | 'allowsVersion1'>,
  tenantId: string,
  page: { limit: number; after: string | undefined },
): Promise<PublicKeySet[]> {
  if (await allowsVersion1(tenantId)) await tenantSigningKeys.version1Keys(tenantId)
  return tenantSigningKeys.list(tenantId, 'version-1', page)
}
