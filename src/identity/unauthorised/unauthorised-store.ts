import { newId } from '../../core/ids.ts'
import type { Queryable } from '../../db/db.ts'
import type { RefusalReason } from '../provider.ts'
import type { LetIn, PendingRefusal } from './pending-refusals.ts'
import type { UnauthorisedClient } from './unauthorised-client.ts'

interface Row {
  id: string
  tenant_id: string
  hook: string
  client_id: string
  username: string | null
  ip: string | null
  listener: string | null
  tls: boolean | null
  password_provided: boolean
  reason: RefusalReason
  provider: string | null
  entry_id: string | null
  count: string
  first_at: Date
  last_at: Date
  let_in_at: Date | null
}

const COLUMNS = `id, tenant_id, hook, client_id, username, ip, listener, tls, password_provided, reason, provider, entry_id,
  count, first_at, last_at`
const READ = `${COLUMNS}, let_in_at`

function mapRow(row: Row): UnauthorisedClient {
  const { id, hook, username, ip, listener, tls, reason, provider, count } = row
  return {
    id,
    tenantId: row.tenant_id,
    hook,
    clientId: row.client_id,
    username,
    ip,
    listener,
    tls,
    passwordProvided: row.password_provided,
    reason,
    provider,
    entryId: row.entry_id,
    count: Number(count),
    firstAt: row.first_at,
    lastAt: row.last_at,
    letInAt: row.let_in_at,
  }
}

/** Adds to the rows of one tenant, or makes them, in one statement; returns how many are new. */
export async function writeRefusals(
  db: Queryable,
  tenantId: string,
  rows: readonly PendingRefusal[],
  nowMs: number,
): Promise<number> {
  const column = <T>(of: (row: PendingRefusal) => T) => rows.map(of)
  const { rows: written } = await db.query<{ is_new: boolean }>(
    `insert into unauthorised_clients (${COLUMNS})
     select id, $1, hook, client_id, username, ip, listener, tls, password_provided, reason, provider, entry_id,
       count, first_at, last_at
     from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::boolean[],
       $10::text[], $11::text[], $12::text[], $13::bigint[], $14::timestamptz[], $15::timestamptz[])
       as r (id, hook, client_id, username, ip, listener, tls, password_provided, reason, provider, entry_id, count,
         first_at, last_at)
     order by hook, client_id
     on conflict (tenant_id, hook, client_id) do update set
       username = excluded.username, ip = excluded.ip, listener = excluded.listener, tls = excluded.tls,
       password_provided = excluded.password_provided, reason = excluded.reason, provider = excluded.provider,
       entry_id = excluded.entry_id, count = unauthorised_clients.count + excluded.count,
       last_at = greatest(unauthorised_clients.last_at, excluded.last_at),
       let_in_at = case when unauthorised_clients.let_in_at > excluded.last_at then unauthorised_clients.let_in_at end
     returning (xmax = 0) as is_new`,
    [
      tenantId,
      column(() => newId('una', nowMs)),
      column((row) => row.hook),
      column((row) => row.clientId),
      column((row) => row.username),
      column((row) => row.ip),
      column((row) => row.listener),
      column((row) => row.tls),
      column((row) => row.passwordProvided),
      column((row) => row.reason),
      column((row) => row.provider),
      column((row) => row.entryId),
      column((row) => row.count),
      column((row) => row.firstAt),
      column((row) => row.lastAt),
    ],
  )
  return written.filter((row) => row.is_new).length
}

/** Marks the rows of clients that were let in after their last attempt that failed. */
export async function markLetIn(db: Queryable, tenantId: string, rows: readonly LetIn[]): Promise<void> {
  await db.query(
    `update unauthorised_clients u set let_in_at = r.at
     from unnest($2::text[], $3::text[], $4::timestamptz[]) as r (hook, client_id, at)
     where u.tenant_id = $1 and u.hook = r.hook and u.client_id = r.client_id and u.last_at <= r.at`,
    [tenantId, rows.map(({ hook }) => hook), rows.map(({ clientId }) => clientId), rows.map(({ at }) => at)],
  )
}

/** Keeps the rows that were written to last, at most so many. */
export async function keepNewest(db: Queryable, tenantId: string, most: number): Promise<void> {
  await db.query(
    `delete from unauthorised_clients where tenant_id = $1 and id in (
       select id from unauthorised_clients where tenant_id = $1 order by last_at desc, id desc offset $2)`,
    [tenantId, most],
  )
}

/** Of every tenant; returns how many. */
export async function sweepUnauthorised(db: Queryable, before: Date): Promise<number> {
  const { rowCount } = await db.query('delete from unauthorised_clients where last_at <= $1', [before])
  return rowCount ?? 0
}

export interface UnauthorisedQuery {
  readonly limit: number
  /** The place of the last one of the page before. */
  readonly after?: { readonly lastAt: Date; readonly id: string } | undefined
  readonly hook?: string | undefined
  readonly clientId?: string | undefined
  readonly reason?: RefusalReason | undefined
  /** Whether it was let in since. */
  readonly letIn?: boolean | undefined
}

/** The one that tried last comes first. */
export async function listUnauthorised(
  db: Queryable,
  tenantId: string,
  { limit, after, hook, clientId, reason, letIn }: UnauthorisedQuery,
): Promise<UnauthorisedClient[]> {
  const { rows } = await db.query<Row>(
    `select ${READ} from unauthorised_clients
     where tenant_id = $1 and ($2::timestamptz is null or (last_at, id) < ($2, $3))
       and ($4::text is null or hook = $4) and ($5::text is null or client_id = $5) and ($6::text is null or reason = $6)
       and ($7::boolean is null or (let_in_at is not null) = $7)
     order by last_at desc, id desc limit $8`,
    [tenantId, after?.lastAt, after?.id, hook, clientId, reason, letIn, limit],
  )
  return rows.map(mapRow)
}

export async function removeUnauthorised(
  tx: Queryable,
  tenantId: string,
  id: string,
): Promise<UnauthorisedClient | undefined> {
  const { rows } = await tx.query<Row>(
    `delete from unauthorised_clients where tenant_id = $1 and id = $2 returning ${READ}`,
    [tenantId, id],
  )
  return rows[0] && mapRow(rows[0])
}

/** Returns how many. */
export async function clearUnauthorised(tx: Queryable, tenantId: string): Promise<number> {
  const { rowCount } = await tx.query('delete from unauthorised_clients where tenant_id = $1', [tenantId])
  return rowCount ?? 0
}
