import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { type ListedTenant, listTenants } from '#src/tenants/list-tenants.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

let database: TestDatabase

before(async () => {
  database = await testDatabase()
})
after(() => database.drop())

async function listed(): Promise<ListedTenant[]> {
  const tenants: ListedTenant[] = []
  for await (const tenant of listTenants(database.db, now)) tenants.push(tenant)
  return tenants
}

const now = new Date('2026-11-28T10:00:00Z')

async function insertKey(tenantId: string, { revokedAt = null, expiresAt = null }: Record<string, Date | null>) {
  await database.db.query(
    `insert into api_keys (id, tenant_id, name, role, scopes, digest, pepper_id, created_at, revoked_at, expires_at)
     values ($1, $2, 'key', 'viewer', '{}', $3, 'pep_one', $4, $5, $6)`,
    [newId('key'), tenantId, Buffer.alloc(64), now, revokedAt, expiresAt],
  )
}

test('all tenants are listed once, in order, however many there are', async () => {
  const ids = Array.from({ length: 1001 }, (_, i) => newId('ten', 1_700_000_000_000 + i))
  await database.db.query(
    `insert into tenants (id, name, created_at) select t.id, 'plant', now() from unnest($1::text[]) as t (id)`,
    [ids.toReversed()],
  )
  assert.deepEqual(
    (await listed()).map(({ id }) => id),
    ids,
  )
})

test('the API keys of a tenant that are neither revoked nor expired are counted', async () => {
  const [tenant] = await listed()
  assert.equal(tenant?.apiKeys, 0)
  await insertKey(tenant.id, {})
  await insertKey(tenant.id, { expiresAt: new Date(now.getTime() + 1) })
  await insertKey(tenant.id, { expiresAt: now })
  await insertKey(tenant.id, { revokedAt: now })
  const [again, other] = await listed()
  assert.deepEqual([again?.apiKeys, other?.apiKeys], [2, 0])
})
