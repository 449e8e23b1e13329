import type { Page, Queryable } from '../../db/db.ts'
import type { BlockedClient, BlockedType } from './blocked-client.ts'

interface Row {
  id: string
  tenant_id: string
  type: BlockedType
  value: string
  description: string
  created_at: Date
  created_by: string
  expires_at: Date | null
}

const COLUMNS = 'id, tenant_id, type, value, description, created_at, created_by, expires_at'

function mapRow(row: Row): BlockedClient {
  const { id, tenant_id, type, value, description, created_at, created_by, expires_at } = row
  return {
    id,
    tenantId: tenant_id,
    type,
    value,
    description,
    createdAt: created_at,
    createdBy: created_by,
    expiresAt: expires_at,
  }
}

/** Takes the list of a tenant for itself until the transaction ends, and says that it changes. */
export async function moveRevision(tx: Queryable, tenantId: string): Promise<void> {
  await tx.query(
    `insert into blocked_lists (tenant_id, revision) values ($1, 1)
     on conflict (tenant_id) do update set revision = blocked_lists.revision + 1`,
    [tenantId],
  )
}

/** Revisions of lists; a tenant that never had an entry is not in there. */
export async function readRevisions(db: Queryable, tenantIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await db.query<{ tenant_id: string; revision: string }>(
    'select tenant_id, revision from blocked_lists where tenant_id = any($1)',
    [tenantIds],
  )
  return new Map(rows.map((row) => [row.tenant_id, row.revision]))
}

export async function countBlocked(tx: Queryable, tenantId: string): Promise<{ all: number; regexes: number }> {
  const { rows } = await tx.query<{ every: string; regexes: string }>(
    `select count(*) as every, count(*) filter (where type in ('client_id_regex', 'username_regex')) as regexes
     from blocked_clients where tenant_id = $1`,
    [tenantId],
  )
  return { all: Number(rows[0]?.every ?? 0), regexes: Number(rows[0]?.regexes ?? 0) }
}

/** Removes entries of a tenant that have expired, so that they are in nobody's way. */
export async function removeExpired(tx: Queryable, tenantId: string, before: Date): Promise<void> {
  await tx.query('delete from blocked_clients where tenant_id = $1 and expires_at <= $2', [tenantId, before])
}

/** Removes entries of every tenant that expired long ago; returns how many. */
export async function sweepExpired(db: Queryable, before: Date): Promise<number> {
  const { rowCount } = await db.query('delete from blocked_clients where expires_at <= $1', [before])
  return rowCount ?? 0
}

export async function insertBlocked(tx: Queryable, entry: BlockedClient): Promise<void> {
  const { tenantId, id, type, value, description, createdAt, createdBy, expiresAt } = entry
  await tx.query(
    `insert into blocked_clients (tenant_id, id, type, value, description, created_at, created_by, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [tenantId, id, type, value, description, createdAt, createdBy, expiresAt],
  )
}

export async function findSame(
  tx: Queryable,
  { tenantId, type, value }: Pick<BlockedClient, 'tenantId' | 'type' | 'value'>,
): Promise<BlockedClient | undefined> {
  const { rows } = await tx.query<Row>(
    `select ${COLUMNS} from blocked_clients where tenant_id = $1 and type = $2 and value = $3`,
    [tenantId, type, value],
  )
  return rows[0] && mapRow(rows[0])
}

export async function findBlocked(db: Queryable, tenantId: string, id: string): Promise<BlockedClient | undefined> {
  const { rows } = await db.query<Row>(`select ${COLUMNS} from blocked_clients where tenant_id = $1 and id = $2`, [
    tenantId,
    id,
  ])
  return rows[0] && mapRow(rows[0])
}

export async function removeBlocked(tx: Queryable, tenantId: string, id: string): Promise<BlockedClient | undefined> {
  const { rows } = await tx.query<Row>(
    `delete from blocked_clients where tenant_id = $1 and id = $2 returning ${COLUMNS}`,
    [tenantId, id],
  )
  return rows[0] && mapRow(rows[0])
}

/** Newest first. */
export async function listBlocked(db: Queryable, tenantId: string, { limit, after }: Page): Promise<BlockedClient[]> {
  const { rows } = await db.query<Row>(
    `select ${COLUMNS} from blocked_clients
     where tenant_id = $1 and ($2::text is null or id < $2) order by id desc limit $3`,
    [tenantId, after, limit],
  )
  return rows.map(mapRow)
}

/** The whole list of a tenant with its revision, both of one moment. */
export async function readList(
  db: Queryable,
  tenantId: string,
): Promise<{ revision: string | undefined; entries: readonly BlockedClient[] }> {
  const { rows } = await db.query<{ revision: string } & { [Name in keyof Row]: Row[Name] | null }>(
    `select l.revision, b.id, b.tenant_id, b.type, b.value, b.description, b.created_at, b.created_by, b.expires_at
     from blocked_lists l left join blocked_clients b on b.tenant_id = l.tenant_id where l.tenant_id = $1`,
    [tenantId],
  )
  return {
    revision: rows[0]?.revision,
    entries: rows.filter((row) => row.id !== null).map((row) => mapRow(row as Row)),
  }
}
