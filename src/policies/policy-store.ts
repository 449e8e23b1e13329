import type { Queryable } from '../db/db.ts'
import type { Policy } from './policy.ts'

interface PolicyRow {
  tenant_id: string
  id: string
  name: string
  version: number
  active_revision: number
  latest_revision: number
  sha256: Buffer
  rules: number
  created_at: Date
  updated_at: Date
}

/** Of `policies p` with its active revision `r`. */
const POLICY = `
  p.tenant_id, p.id, p.name, p.version, p.active_revision, p.latest_revision, r.sha256, r.rules, p.created_at, p.updated_at
  from policies p join policy_revisions r
    on r.tenant_id = p.tenant_id and r.policy_id = p.id and r.revision = p.active_revision`

export interface Page {
  limit: number
  /** Id, or number, of the last one of the page before. */
  after?: string | undefined
}

/** Where a conditional change applies: at that version, or nowhere. */
export interface PolicyAt {
  tenantId: string
  id: string
  version: number
}

/** What a change sets in a policy's own row; what is absent stays. */
export interface Moves {
  name?: string | undefined
  activeRevision?: number | undefined
  latestRevision?: number | undefined
}

function fromRow(row: PolicyRow): Policy {
  return {
    tenantId: row.tenant_id,
    id: row.id,
    name: row.name,
    version: row.version,
    activeRevision: row.active_revision,
    latestRevision: row.latest_revision,
    sha256: row.sha256.toString('hex'),
    rules: row.rules,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

/** Inserts a policy at version 1, whose revision 1 must follow in the same transaction. */
export async function insertPolicy(
  tx: Queryable,
  row: { tenantId: string; id: string; name: string; now: Date },
): Promise<void> {
  await tx.query(
    `insert into policies (tenant_id, id, name, version, active_revision, latest_revision, created_at, updated_at)
     values ($1, $2, $3, 1, 1, 1, $4, $4)`,
    [row.tenantId, row.id, row.name, row.now],
  )
}

/** Finds one of this tenant's; somebody else's is not there. */
export async function selectPolicy(db: Queryable, tenantId: string, id: string): Promise<Policy | undefined> {
  const { rows } = await db.query<PolicyRow>(`select ${POLICY} where p.tenant_id = $1 and p.id = $2`, [tenantId, id])
  return rows[0] && fromRow(rows[0])
}

/** Lists in the order of creation. */
export async function selectPolicies(db: Queryable, tenantId: string, page: Page): Promise<Policy[]> {
  const { rows } = await db.query<PolicyRow>(
    `select ${POLICY} where p.tenant_id = $1 and p.id > $2 order by p.id limit $3`,
    [tenantId, page.after ?? '', page.limit],
  )
  return rows.map(fromRow)
}

/** Number of the revision that decides, from the database. */
export async function selectActiveRevision(db: Queryable, tenantId: string, id: string): Promise<number | undefined> {
  const { rows } = await db.query<{ active_revision: number }>(
    'select active_revision from policies where tenant_id = $1 and id = $2',
    [tenantId, id],
  )
  return rows[0]?.active_revision
}

/** Changes a policy that is still at `version`, and moves it to the next one; `false` where it is not, or is not there. */
export async function updatePolicy(tx: Queryable, at: PolicyAt & { now: Date }, change: Moves): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update policies set
       name = coalesce($5, name), active_revision = coalesce($6, active_revision),
       latest_revision = coalesce($7, latest_revision), version = version + 1, updated_at = $4
     where tenant_id = $1 and id = $2 and version = $3`,
    [
      at.tenantId,
      at.id,
      at.version,
      at.now,
      change.name ?? null,
      change.activeRevision ?? null,
      change.latestRevision ?? null,
    ],
  )
  return rowCount === 1
}

/** Deletes a policy that is still at `version`, with its revisions; `false` where it is not, or is not there. */
export async function deletePolicy(tx: Queryable, at: PolicyAt): Promise<boolean> {
  const { rowCount } = await tx.query('delete from policies where tenant_id = $1 and id = $2 and version = $3', [
    at.tenantId,
    at.id,
    at.version,
  ])
  return rowCount === 1
}

/** Reports whether a policy is there, and keeps it from being deleted until the transaction ends. */
export async function holdPolicy(tx: Queryable, tenantId: string, id: string): Promise<boolean> {
  const { rowCount } = await tx.query('select 1 from policies where tenant_id = $1 and id = $2 for key share', [
    tenantId,
    id,
  ])
  return rowCount === 1
}

/**
 * What a tenant has stored, with what this transaction wrote. Whoever asks is alone with the answer until its transaction
 * ends: two changes that fit one by one are not both made.
 */
export async function holdUsage(tx: Queryable, tenantId: string): Promise<{ policies: number; bytes: number }> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('sealwire/policies/' || $1, 0))`, [tenantId])
  const { rows } = await tx.query<{ policies: number; bytes: number }>(
    `select (select count(*) from policies where tenant_id = $1)::float8 as policies,
            (select coalesce(sum(bytes), 0) from policy_revisions where tenant_id = $1)::float8 as bytes`,
    [tenantId],
  )
  return rows[0] as { policies: number; bytes: number }
}
