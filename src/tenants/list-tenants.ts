import type { Queryable } from '../db/db.ts'

/** A tenant as its operator sees it. */
export interface ListedTenant {
  readonly id: string
  readonly name: string
  readonly sandbox: boolean
  readonly createdAt: Date
  readonly envelopeVersions: readonly number[]
  /** Cost units a second; `null`: the server's. */
  readonly rateLimit: number | null
  /** `null`: the deployment's. */
  readonly kmsKeyId: string | null
  /** API keys that are neither revoked nor expired. */
  readonly apiKeys: number
}

const AT_ONCE = 500

const PAGE = `
select id, name, sandbox, created_at as "createdAt", envelope_versions as "envelopeVersions", rate_limit as "rateLimit",
  kms_key_id as "kmsKeyId",
  (select count(*)::int from api_keys k
   where k.tenant_id = t.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > $3)) as "apiKeys"
from tenants t where id collate "C" > $1 order by id collate "C" limit $2`

/** All tenants, the oldest first, however many there are. */
export async function* listTenants(db: Queryable, now: Date): AsyncGenerator<ListedTenant> {
  for (let after = ''; ; ) {
    const { rows } = await db.query<ListedTenant>(PAGE, [after, AT_ONCE, now])
    yield* rows
    const last = rows.at(-1)
    if (!last || rows.length < AT_ONCE) return
    after = last.id
  }
}
