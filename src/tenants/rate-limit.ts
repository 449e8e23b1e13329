import type { Audit, Caller } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import { newId } from '../core/ids.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'

/**
 * Gives a tenant, and each of its API keys, a quota of its own in cost units a second, for the operator of the host; `null`
 * gives it the deployment's again. In force in every process within a second.
 *
 * @throws {AppError} `object.not_found`
 */
export async function setRateLimit(
  deps: { db: Db; feed: ChangeFeed; audit: Audit; clock: Pick<Clock, 'now'> },
  tenantId: string,
  perSecond: number | null,
): Promise<void> {
  await createAuditedChange(deps)(async (tx) => {
    const { rowCount } = await tx.query(`update tenants set rate_limit = $2 where id = $1`, [tenantId, perSecond])
    if (rowCount !== 1) throw new AppError('object.not_found', 'No such tenant.')
    const { rows } = await tx.query<{ id: string }>(
      `select id from api_keys where tenant_id = $1 and revoked_at is null`,
      [tenantId],
    )
    for (const { id } of rows) await deps.feed.announce(tx, 'api_key', id) // the quota is cached with them
    const caller: Caller = { tenantId, actor: { id: 'operator' }, requestId: newId('req', deps.clock.now()) }
    const detail = { rate_limit: perSecond }
    const object = { kind: 'tenant', id: tenantId }
    return { result: undefined, events: [{ ...caller, action: 'tenants.update', outcome: 'success', object, detail }] }
  })
}
