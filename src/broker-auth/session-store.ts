import type { Db, Queryable } from '../db/db.ts'
import type { SessionPlace } from './session.ts'

export interface SessionRow {
  readonly key: Buffer
  readonly userKey: Buffer
  readonly ownerKey: Buffer
  readonly session: string
  readonly expiresAt: Date | null
}

export interface SweepLimits {
  readonly unusedSince: Date
  readonly max: number
  readonly maxPerUser: number
}

const SAVE = `
  with put as (
    select * from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::timestamptz[])
      as t (key, user_key, owner_key, session, expires_at)
  ), before as (
    select b.key, b.session from broker_sessions b join put using (key)
  )
  insert into broker_sessions as s (key, hook, tenant_id, user_key, owner_key, session, expires_at, used_at)
  select key, $6, $7, user_key, owner_key, session, expires_at, $8 from put order by key
  on conflict (key) do update set session = excluded.session, owner_key = excluded.owner_key,
    expires_at = excluded.expires_at, used_at = excluded.used_at
  returning key, exists (select from before where before.key = s.key and before.session <> s.session) as replaced`

/** Rows beyond what one owner may have, then beyond what the hook may: the least recently used go. */
const BEYOND_OWNER = `
  delete from broker_sessions where key in (
    select key from (
      select key, row_number() over (partition by owner_key order by used_at desc, key) as place
      from broker_sessions where tenant_id = $1 and hook = $2
    ) ranked where place > $3
  )`
const BEYOND_HOOK = `
  delete from broker_sessions where key in (
    select key from broker_sessions where tenant_id = $1 and hook = $2 order by used_at desc, key offset $3
  )`

/** Sessions of one hook in PostgreSQL. */
export function createSessionStore(db: Db, { hook, tenantId }: SessionPlace) {
  return {
    /** Writes rows with different keys; `announce` is told, within the transaction, the keys whose content it replaced. */
    async save(
      rows: readonly SessionRow[],
      now: Date,
      announce: (tx: Queryable, replaced: readonly Buffer[]) => Promise<void>,
    ): Promise<void> {
      const column = <K extends keyof SessionRow>(name: K) => rows.map((row) => row[name])
      await db.transaction(async (tx) => {
        const rowValues = [column('key'), column('userKey'), column('ownerKey'), column('session'), column('expiresAt')]
        const values = [...rowValues, hook, tenantId, now]
        const { rows: written } = await tx.query<{ key: Buffer; replaced: boolean }>(SAVE, values)
        const replaced = written.filter((row) => row.replaced).map(({ key }) => key)
        if (replaced.length > 0) await announce(tx, replaced)
      })
    },

    /** By key in hexadecimal. */
    async load(keys: readonly Buffer[]): Promise<ReadonlyMap<string, string>> {
      const { rows } = await db.query<{ key: Buffer; session: string }>(
        'select key, session from broker_sessions where key = any($1) and hook = $2 and tenant_id = $3',
        [keys, hook, tenantId],
      )
      return new Map(rows.map(({ key, session }) => [key.toString('hex'), session]))
    },

    /** The sessions of one user, by key in hexadecimal, the most recently used first. */
    async ofUser(key: Buffer, limit: number): Promise<ReadonlyMap<string, string>> {
      const { rows } = await db.query<{ key: Buffer; session: string }>(
        `select key, session from broker_sessions where user_key = $1 and hook = $2 and tenant_id = $3
         order by used_at desc limit $4`,
        [key, hook, tenantId, limit],
      )
      return new Map(rows.map((row) => [row.key.toString('hex'), row.session]))
    },

    async touch(keys: readonly Buffer[], now: Date): Promise<void> {
      await db.query('update broker_sessions set used_at = $2 where key = any($1)', [keys, now])
    },

    async remove(keys: readonly Buffer[]): Promise<void> {
      await db.query('delete from broker_sessions where key = any($1)', [keys])
    },

    /** @returns how many rows went */
    async sweep(now: Date, { unusedSince, max, maxPerUser }: SweepLimits): Promise<number> {
      const over = await db.query(
        'delete from broker_sessions where tenant_id = $1 and hook = $2 and (expires_at <= $3 or used_at < $4)',
        [tenantId, hook, now, unusedSince],
      )
      const ofOwners = await db.query(BEYOND_OWNER, [tenantId, hook, maxPerUser])
      const ofHook = await db.query(BEYOND_HOOK, [tenantId, hook, max])
      return [over, ofOwners, ofHook].reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0)
    },
  }
}

/** Deletes sessions of whichever hook. @returns how many */
export async function sweepForgotten(db: Pick<Db, 'query'>, unusedSince: Date): Promise<number> {
  return (await db.query('delete from broker_sessions where used_at < $1', [unusedSince])).rowCount ?? 0
}

export type SessionStore = ReturnType<typeof createSessionStore>
