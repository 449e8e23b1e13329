import { AppError } from '../core/errors.ts'
import type { Queryable } from '../db/db.ts'
import { DEPLOYMENT } from './stored-key.ts'

/**
 * Keeps a pepper from being destroyed until the transaction ends, for those who write a digest under it.
 *
 * @throws {AppError} `vault.unavailable` when it is destroyed already: this process will hear of it in a moment
 */
export async function holdPepper(tx: Queryable, id: string): Promise<void> {
  const { rows } = await tx.query<{ state: string }>(
    `select state from keys where tenant_id = $1 and id = $2 and purpose = 'api-key-pepper' for share`,
    [DEPLOYMENT, id],
  )
  const state = rows[0]?.state
  if (state === 'active' || state === 'retired') return
  throw new AppError('vault.unavailable', 'A key is not available.', { cause: `${id}: ${state}`, retryAfterS: 1 })
}
