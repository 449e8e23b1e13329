import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import { type ApiKey, lockApiKey } from './api-key-store.ts'

/** One text for every reason. */
export function unauthenticated(): AppError {
  return new AppError('auth.unauthenticated', 'No valid API key was presented.')
}

/**
 * Locks the API key on whose behalf a transaction gives rights away, so that no revocation comes between: what a revoked
 * key makes would outlive it. With `update` one such transaction at a time.
 *
 * @throws {AppError} `auth.unauthenticated` for a key that has been revoked, or has expired, since it was presented
 */
export async function holdActingKey(
  tx: Queryable,
  { tenantId, keyId }: { tenantId: string; keyId: string },
  nowMs: number,
  strength: 'share' | 'update',
): Promise<ApiKey> {
  const key = await lockApiKey(tx, tenantId, keyId, strength)
  if (!key || key.revokedAt || (key.expiresAt && key.expiresAt.getTime() <= nowMs)) throw unauthenticated()
  return key
}
