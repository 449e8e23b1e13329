import { z } from 'zod'
import type { VaultEntry } from '../vault/vault.ts'
import { displayName, entryId, jsonObject, timestamp } from './schemas.ts'

/** What anybody may see of a vault entry: never a value, nor its length. */
export const vaultEntry = z
  .strictObject({
    id: entryId,
    credential_id: entryId.meta({ description: 'The same as `id`; what an integration names' }),
    name: displayName.nullable(),
    credential_type: z.string(),
    algorithm: z.string(),
    version: z.int().min(1),
    metadata: jsonObject,
    split_custody: z.boolean().meta({ description: 'true: it opens only together with the custody key of its holder' }),
    is_active: z.boolean().meta({ description: 'false once it is deleted or expired' }),
    created_at: timestamp,
    updated_at: timestamp,
    expires_at: timestamp.nullable(),
    last_accessed_at: timestamp.nullable(),
  })
  .meta({ id: 'VaultEntry' })

/** How every entry is encrypted. */
export const VAULT_ALGORITHM = 'ML-KEM-768'

const id = '019aa0c8-6f00-7c3e-9a51-2f3d5c7b9e10'

export const entryExample: z.input<typeof vaultEntry> = {
  id,
  credential_id: id,
  name: 'plant broker',
  credential_type: 'custom_kv',
  algorithm: VAULT_ALGORITHM,
  version: 1,
  metadata: {},
  split_custody: false,
  is_active: true,
  created_at: '2026-11-21T09:00:00.000Z',
  updated_at: '2026-11-21T09:00:00.000Z',
  expires_at: '2027-02-19T09:00:00.000Z',
  last_accessed_at: null,
}

export function vaultEntryToWire(entry: VaultEntry): z.input<typeof vaultEntry> {
  return {
    id: entry.id,
    credential_id: entry.id,
    name: entry.name,
    credential_type: entry.credentialType,
    algorithm: VAULT_ALGORITHM,
    version: entry.version,
    metadata: entry.metadata,
    split_custody: entry.custody === 1,
    is_active: entry.active,
    created_at: entry.createdAt.toISOString(),
    updated_at: entry.updatedAt.toISOString(),
    expires_at: entry.expiresAt?.toISOString() ?? null,
    last_accessed_at: entry.lastAccessedAt?.toISOString() ?? null,
  }
}
