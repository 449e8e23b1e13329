import type { Queryable } from '../db/db.ts'

/** Tenants whose shares are wrapped under a KMS key of their own, with its id. */
export async function tenantsWithOwnKmsKey(db: Queryable): Promise<{ tenantId: string; kmsKeyId: string }[]> {
  const { rows } = await db.query<{ id: string; kms_key_id: string }>(
    `select id, kms_key_id from tenants where kms_key_id is not null order by id`,
  )
  return rows.map((row) => ({ tenantId: row.id, kmsKeyId: row.kms_key_id }))
}

/** Sets the KMS key under which a tenant's shares are wrapped from now on; `false` when there is no such tenant. */
export async function setTenantKmsKey(tx: Queryable, tenantId: string, kmsKeyId: string): Promise<boolean> {
  const { rowCount } = await tx.query(`update tenants set kms_key_id = $2 where id = $1`, [tenantId, kmsKeyId])
  return rowCount === 1
}

/** Tenants after `id`, in the order of ids, whose shares are under the deployment's KMS key: the next `limit` of them. */
export async function tenantsWithoutKmsKey(db: Queryable, id: string, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select id from tenants where id > $1 and kms_key_id is null order by id limit $2`,
    [id, limit],
  )
  return rows.map((row) => row.id)
}
