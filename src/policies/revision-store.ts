import type { Queryable } from '../db/db.ts'
import type { DocumentText } from './document-text.ts'
import type { PolicyRevision, StoredRevision } from './policy.ts'
import type { Page } from './policy-store.ts'

interface RevisionRow {
  revision: number
  active: boolean
  sha256: Buffer
  rules: number
  created_at: Date
  created_by: string
}

/** Of `policy_revisions r` beside `policies p`. */
const COLUMNS = 'r.revision, r.revision = p.active_revision as active, r.sha256, r.rules, r.created_at, r.created_by'
const FROM = 'from policy_revisions r join policies p on p.tenant_id = r.tenant_id and p.id = r.policy_id'

/** Higher than the number of any revision. */
const BEHIND_ALL = 2 ** 31 - 1

function fromRow(row: RevisionRow): PolicyRevision {
  return {
    revision: row.revision,
    active: row.active,
    sha256: row.sha256.toString('hex'),
    rules: row.rules,
    createdAt: row.created_at,
    createdBy: row.created_by,
  }
}

export async function insertRevision(
  tx: Queryable,
  row: { tenantId: string; policyId: string; revision: number; rules: number; now: Date; createdBy: string },
  { text, sha256, bytes }: DocumentText,
): Promise<void> {
  await tx.query(
    `insert into policy_revisions
       (tenant_id, policy_id, revision, document, sha256, bytes, rules, created_at, created_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [row.tenantId, row.policyId, row.revision, text, sha256, bytes, row.rules, row.now, row.createdBy],
  )
}

/** Finds one revision with its document; without a number the one that decides. */
export async function selectRevision(
  db: Queryable,
  tenantId: string,
  policyId: string,
  revision?: number,
): Promise<StoredRevision | undefined> {
  const { rows } = await db.query<RevisionRow & { document: string }>(
    `select ${COLUMNS}, r.document ${FROM}
     where r.tenant_id = $1 and r.policy_id = $2 and r.revision = coalesce($3, p.active_revision)`,
    [tenantId, policyId, revision ?? null],
  )
  return rows[0] && { ...fromRow(rows[0]), text: rows[0].document }
}

/** Lists without documents, newest first. */
export async function selectRevisions(
  db: Queryable,
  tenantId: string,
  policyId: string,
  page: Page,
): Promise<PolicyRevision[]> {
  const { rows } = await db.query<RevisionRow>(
    `select ${COLUMNS} ${FROM}
     where r.tenant_id = $1 and r.policy_id = $2 and r.revision < $3 order by r.revision desc limit $4`,
    [tenantId, policyId, page.after ?? BEHIND_ALL, page.limit],
  )
  return rows.map(fromRow)
}

/** Forgets the revisions up to `last`, but never the one that decides. */
export async function pruneRevisions(tx: Queryable, tenantId: string, policyId: string, last: number): Promise<void> {
  await tx.query(
    `delete from policy_revisions r using policies p
     where p.tenant_id = r.tenant_id and p.id = r.policy_id
       and r.tenant_id = $1 and r.policy_id = $2 and r.revision <= $3 and r.revision <> p.active_revision`,
    [tenantId, policyId, last],
  )
}
