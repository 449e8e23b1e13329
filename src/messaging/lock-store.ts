import type { Queryable } from '../db/db.ts'

/** How often an integration was locked, by any process. */
export async function countLocks(db: Queryable, tenantId: string, integrationId: string): Promise<number> {
  const { rows } = await db.query<{ locks: string }>(
    'select locks from integration_locks where tenant_id = $1 and integration_id = $2',
    [tenantId, integrationId],
  )
  return Number(rows[0]?.locks ?? 0)
}

/** Counts one lock more: whoever unlocked it before this is committed finds that out. */
export async function insertLock(tx: Queryable, tenantId: string, integrationId: string): Promise<void> {
  await tx.query(
    `insert into integration_locks as l (tenant_id, integration_id, locks) values ($1, $2, 1)
     on conflict (tenant_id, integration_id) do update set locks = l.locks + 1`,
    [tenantId, integrationId],
  )
}
