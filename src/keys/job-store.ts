import type { Queryable } from '../db/db.ts'
import type { KeyJob, KeyJobKind } from './key-job.ts'

/** Milliseconds for which a process owns a job without a sign of life. */
export const LEASE_MS = 20_000
const UNUSABLE_NAMED = 20

interface JobRow {
  id: string
  kind: KeyJobKind
  tenant_id: string
  target: string
  state: KeyJob['state']
  cursor: string | null
  moved: string
  unusable: string[]
  unusable_count: number
  problem: string | null
  run_at: Date
  emptied_at: Date | null
  created_at: Date
  finished_at: Date | null
}

const COLUMNS = `id, kind, tenant_id, target, state, cursor, moved, unusable, unusable_count, problem, run_at, emptied_at,
  created_at, finished_at`

function mapJob(row: JobRow): KeyJob {
  return {
    id: row.id,
    kind: row.kind,
    tenantId: row.tenant_id,
    target: row.target,
    state: row.state,
    cursor: row.cursor,
    moved: Number(row.moved),
    unusable: row.unusable,
    unusableCount: row.unusable_count,
    problem: row.problem,
    runAt: row.run_at,
    emptiedAt: row.emptied_at,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  }
}

/** What one page of rows came to. */
export interface PageResult {
  cursor: string
  moved: number
  unusable: readonly string[]
}

/** Begins a job, or turns the open one of that kind and tenant to its new target, from the beginning. */
export async function openJob(
  tx: Queryable,
  job: Pick<KeyJob, 'id' | 'kind' | 'tenantId' | 'target'>,
  now: Date,
): Promise<KeyJob> {
  const { rows } = await tx.query<JobRow>(
    `insert into key_jobs (id, kind, tenant_id, target, state, run_at, created_at, updated_at)
     values ($1, $2, $3, $4, 'running', $5, $5, $5)
     on conflict (kind, tenant_id) where state <> 'done' do update
       set target = excluded.target, state = 'running', cursor = null, unusable = '{}', unusable_count = 0, problem = null,
         moved = case when key_jobs.target = excluded.target then key_jobs.moved else 0 end,
         lease_until = case when key_jobs.target = excluded.target then key_jobs.lease_until end,
         run_at = excluded.run_at, emptied_at = null, updated_at = excluded.updated_at
     returning ${COLUMNS}`,
    [job.id, job.kind, job.tenantId, job.target, now],
  )
  return mapJob(rows[0] as JobRow)
}

/** Leases the job that is due for longest and that no living process owns; `id` narrows it to one. */
export async function claimJob(
  db: Queryable,
  owner: string,
  now: Date,
  id: string | null = null,
): Promise<KeyJob | undefined> {
  const { rows } = await db.query<JobRow>(
    `update key_jobs set lease_owner = $1, lease_until = $3, state = 'running', updated_at = $2,
       unusable = case when cursor is null then '{}' else unusable end,
       unusable_count = case when cursor is null then 0 else unusable_count end
     where id = (
       select id from key_jobs
       where state <> 'done' and run_at <= $2 and ($4::text is null or id = $4)
         and (lease_until is null or lease_until <= $2 or lease_owner = $1)
       order by run_at, id limit 1 for update skip locked)
     returning ${COLUMNS}`,
    [owner, now, new Date(now.getTime() + LEASE_MS), id],
  )
  return rows[0] && mapJob(rows[0])
}

/** A sign of life of the process that works on a job. */
export async function renewLease(db: Queryable, owner: string, { id, target }: KeyJob, now: Date): Promise<void> {
  await db.query(
    `update key_jobs set lease_until = $4 where id = $1 and lease_owner = $2 and target = $3 and state = 'running'`,
    [id, owner, target, new Date(now.getTime() + LEASE_MS)],
  )
}

/** Writes down how far a job is and renews the lease; `undefined` when the job is another process's, or has another target. */
export async function savePage(
  db: Queryable,
  owner: string,
  job: KeyJob,
  { cursor, moved, unusable }: PageResult,
  now: Date,
): Promise<KeyJob | undefined> {
  const { rows } = await db.query<JobRow>(
    `update key_jobs set cursor = $4, moved = moved + $5, unusable = (unusable || $6::text[])[1:${UNUSABLE_NAMED}],
       unusable_count = unusable_count + $7, emptied_at = case when $5 = 0 then emptied_at end, lease_until = $8,
       updated_at = $9
     where id = $1 and lease_owner = $2 and target = $3 and state = 'running' returning ${COLUMNS}`,
    [
      job.id,
      owner,
      job.target,
      cursor,
      moved,
      unusable.slice(0, UNUSABLE_NAMED),
      unusable.length,
      new Date(now.getTime() + LEASE_MS),
      now,
    ],
  )
  return rows[0] && mapJob(rows[0])
}

/** Back to the beginning of the rows; `undefined` as for {@link savePage}. */
export async function restartPass(db: Queryable, owner: string, job: KeyJob, now: Date): Promise<KeyJob | undefined> {
  const { rows } = await db.query<JobRow>(
    `update key_jobs set cursor = null, unusable = '{}', unusable_count = 0, lease_until = $4, updated_at = $5
     where id = $1 and lease_owner = $2 and target = $3 and state = 'running' returning ${COLUMNS}`,
    [job.id, owner, job.target, new Date(now.getTime() + LEASE_MS), now],
  )
  return rows[0] && mapJob(rows[0])
}

/** Gives a job back until `runAt`; the next run begins a pass, unless this one was interrupted. */
export async function parkJob(
  db: Queryable,
  owner: string,
  job: KeyJob,
  {
    waitMs,
    emptied = false,
    problem = null,
    interrupted = false,
  }: { waitMs: number; emptied?: boolean; problem?: string | null; interrupted?: boolean },
  now: Date,
): Promise<void> {
  await db.query(
    `update key_jobs set state = case when $5 then state else 'waiting' end, cursor = case when $5 then cursor end,
       run_at = $4, problem = $6, emptied_at = case when $5 then emptied_at when $7 then coalesce(emptied_at, $8) end,
       lease_owner = null, lease_until = null, updated_at = $8
     where id = $1 and lease_owner = $2 and target = $3 and state <> 'done'`,
    [job.id, owner, job.target, new Date(now.getTime() + waitMs), interrupted, problem, emptied, now],
  )
}

/** Ends a job within the transaction that does what ends it; `false` when the job is another process's, or has another target. */
export async function finishJob(tx: Queryable, job: KeyJob, now: Date, owner: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update key_jobs set state = 'done', cursor = null, problem = null, finished_at = $4, lease_owner = null,
       lease_until = null, updated_at = $4
     where id = $1 and lease_owner = $2 and target = $3 and state = 'running'`,
    [job.id, owner, job.target, now],
  )
  return rowCount === 1
}

/** The open job of a kind and tenant, or the last one that ended. */
export async function findJob(db: Queryable, kind: KeyJobKind, tenantId: string): Promise<KeyJob | undefined> {
  const { rows } = await db.query<JobRow>(
    `select ${COLUMNS} from key_jobs where kind = $1 and tenant_id = $2
     order by (state <> 'done') desc, finished_at desc limit 1`,
    [kind, tenantId],
  )
  return rows[0] && mapJob(rows[0])
}

/** Reports whether a job of that kind is open for anybody, or ended after `since`. */
export async function isJobRecent(db: Queryable, kind: KeyJobKind, since: Date): Promise<boolean> {
  const { rows } = await db.query(
    `select 1 from key_jobs where kind = $1 and (state <> 'done' or finished_at > $2) limit 1`,
    [kind, since],
  )
  return rows.length > 0
}
