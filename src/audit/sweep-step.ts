import type { Queryable } from '../db/db.ts'

/** Rows of chains that one step reads: at least these where there are more, at most twice as many. */
const READ = 5_000
/** Intents that one step takes. */
const TAKEN = 100
/** Longer than a flush can take: nobody takes an intent that another process is still closing. */
const LEASE_MS = 60_000
/** An intent is closed this long after its deadline; so it is not looked at before it is this old. */
export const GRACE_MS = 60_000

/** An entry of the list of open intents, with the row that it stands for. */
export interface OpenIntent {
  tenant_id: string
  action: string
  /** The id that its outcome has in common with it. */
  correlation: string
  seq: string
  at: Date
  request_id: string | null
  message_id: string | null
  row_bytes: Buffer
}

/**
 * Reads on in all chains, those first that were not read for longest; keeps the list of open intents as the rows say; takes
 * from it what may be due. An intent is taken only where its chain was read to the end, so that no row that closes it is
 * overlooked. Of intents under the same id the last one counts.
 *
 * The planner cannot know how many rows a step finds, so nothing here depends on it: chains are read by primary key, and
 * what must be looked up is hashed (`in (…) is true`, `not in`: neither can become a join).
 */
const STEP = `
with behind as (
  select tenant_id, seq, head, case when before < $2::bigint then least(head, seq + $2::bigint) end as upto
  from (
    select h.tenant_id, coalesce(s.seq, 0) as seq, h.seq as head,
           coalesce(sum(h.seq - coalesce(s.seq, 0)) over (order by s.read_at nulls first, h.tenant_id
             rows between unbounded preceding and 1 preceding), 0) as before
    from audit_heads h left join audit_sweeps s using (tenant_id)
    where h.seq > coalesce(s.seq, 0)
  ) b
), facts as (
  select b.tenant_id, r.subject || '.intent' as action, r.correlation, max(r.at) filter (where r.opens) as at,
         coalesce(max(r.seq) filter (where r.opens), 0) as opened, coalesce(max(r.seq) filter (where not r.opens), 0) as closed
  from behind b cross join lateral (
    select a.seq, a.at, a.action like '%.intent' as opens, coalesce(a.message_id, a.request_id) as correlation,
           left(a.action, case when a.action like '%.intent' then -7 else -8 end) as subject
    from audit_rows a
    where a.tenant_id = b.tenant_id and a.seq > b.seq and a.seq <= b.upto
      and (a.action like '%.intent' or a.action like '%.outcome')
    order by a.seq limit $2::bigint
  ) r
  where r.correlation is not null
  group by b.tenant_id, r.subject, r.correlation
), read as (
  insert into audit_sweeps (tenant_id, seq, read_at) select tenant_id, upto, $1::timestamptz from behind where upto is not null
  on conflict (tenant_id) do update set seq = excluded.seq, read_at = excluded.read_at
), opened as (
  insert into audit_open_intents (tenant_id, action, correlation, seq, close_after)
  select tenant_id, action, correlation, opened, at + $3::integer * interval '1 ms' from facts where opened > closed
  on conflict (tenant_id, action, correlation) do update set seq = excluded.seq, close_after = excluded.close_after
  returning close_after
), closed as (
  delete from audit_open_intents
  where ((tenant_id, action, correlation) in (select tenant_id, action, correlation from facts where closed > opened)) is true
), first as (
  select tenant_id, action, correlation from audit_open_intents
  where close_after <= $1::timestamptz and tenant_id <> all ($4::text[])
  order by close_after limit $5 for update skip locked
), taken as (
  update audit_open_intents o set close_after = $6::timestamptz from first f
  where (o.tenant_id, o.action, o.correlation) = (f.tenant_id, f.action, f.correlation)
    and o.tenant_id not in (select tenant_id from behind where upto is distinct from head)
    and (o.tenant_id, o.action, o.correlation) not in (select tenant_id, action, correlation from facts)
  returning o.*
), rest as (
  select exists (select from first)
      or exists (select from behind where upto is distinct from head)
      or exists (select from opened where close_after <= $1::timestamptz) as more
)
select rest.more, t.tenant_id, t.action, t.correlation, t.seq, r.at, r.request_id, r.message_id, r.row_bytes
from rest left join (taken t cross join lateral (
  select at, request_id, message_id, row_bytes from audit_rows a where a.tenant_id = t.tenant_id and a.seq = t.seq limit 1
) r) on true`

/**
 * Takes up to 100 intents that nobody has closed yet and that are at least a minute old, but none of the tenants in
 * `without`. They are the caller's for a minute; `putBack` gives up what is not due yet.
 *
 * One process at a time does this. Another one gets nothing, and does not wait.
 *
 * @returns what was taken, and whether there is more to read or to take
 */
export async function takeOpenIntents(
  tx: Queryable,
  nowMs: number,
  without: readonly string[],
): Promise<{ intents: OpenIntent[]; more: boolean }> {
  const { rows: turn } = await tx.query<{ mine: boolean }>(
    `select pg_try_advisory_xact_lock(hashtextextended('sealwire/audit-sweep', 0)) as mine`,
  )
  if (!turn[0]?.mine) return { intents: [], more: false }
  const [now, leasedUntil] = [new Date(nowMs), new Date(nowMs + LEASE_MS)]
  const { rows } = await tx.query<{ more: boolean } & (OpenIntent | { tenant_id: null })>(STEP, [
    now,
    READ,
    GRACE_MS,
    without,
    TAKEN,
    leasedUntil,
  ])
  const intents = rows.filter((row) => row.tenant_id !== null)
  return { intents, more: rows[0]?.more === true }
}

/** Says when intents are to be looked at next. */
export async function putBack(tx: Queryable, intents: readonly { intent: OpenIntent; dueMs: number }[]): Promise<void> {
  if (intents.length === 0) return
  await tx.query(
    `update audit_open_intents o set close_after = i.due_at
     from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as i (tenant_id, seq, due_at)
     where o.tenant_id = i.tenant_id and o.seq = i.seq`,
    [
      intents.map(({ intent }) => intent.tenant_id),
      intents.map(({ intent }) => intent.seq),
      intents.map(({ dueMs }) => new Date(dueMs)),
    ],
  )
}
