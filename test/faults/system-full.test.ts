import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { auditRows, integrate, publish, type Stack, startStack } from './system-parts.ts'

describe('PostgreSQL that only reads, or has no room', () => {
  let stack: Stack
  let broker: FakeBroker
  let integrationId: string
  before(async () => {
    broker = await startFakeBroker()
    stack = await startStack()
    ;({ integrationId } = await integrate(stack.call, broker.port))
    assert.equal((await publish(stack.call, integrationId)).status, 200)
  })
  after(async () => {
    await stack.close()
    await broker.stop()
  })

  test('F24: a database that only reads answers reads; writes and publishes are 503, and nothing is sent', async () => {
    const name = (await stack.sql.query<{ name: string }>('select current_database() as name')).rows[0]?.name
    const terminate = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'sealwire'`
    const rowsBefore = (await auditRows(stack.sql)).length
    const before = broker.packetsOf('publish').length
    await stack.sql.query(`alter database ${name} set default_transaction_read_only = on`)
    await stack.sql.query(terminate)
    try {
      let read = await stack.call('GET', `/api/v2/integrations/${integrationId}`)
      while (read.status === 503) read = await stack.call('GET', `/api/v2/integrations/${integrationId}`)
      assert.equal(read.status, 200)
      assert.equal((await stack.call('GET', '/api/v2/audit/logs')).status, 200)
      const write = await stack.call('POST', '/api/v2/vault/seal', {
        credential_type: 'custom_kv',
        values: { hostname: 'b' },
      })
      assert.equal(write.status, 503)
      const refused = await publish(stack.call, integrationId)
      assert.equal(refused.status, 503)
      assert.equal(broker.packetsOf('publish').length, before)
      assert.equal((await auditRows(stack.sql)).length, rowsBefore)
    } finally {
      const free = new pg.Client({
        connectionString: stack.databaseUrl,
        options: '-c default_transaction_read_only=off',
      })
      await free.connect()
      await free.query(`alter database ${name} reset default_transaction_read_only`)
      await free.query(terminate)
      await free.end()
    }
    const sinceMs = performance.now()
    let answer = await publish(stack.call, integrationId)
    while (answer.status !== 200 && performance.now() - sinceMs < patience(5_000))
      answer = await publish(stack.call, integrationId)
    assert.equal(answer.status, 200)
  })

  for (const { table, code, why } of [
    { table: 'audit_rows', code: 'audit.unavailable', why: 'no room for an audit row' },
    { table: 'vault_versions', code: 'database.unavailable', why: 'no room for the record' },
  ]) {
    test(`F24: 53100, ${why}: writes are 503 and leave nothing, reads are answered`, async () => {
      const { sql, call } = stack
      await sql.query(`create function full_disk() returns trigger language plpgsql as
        $$ begin raise exception 'could not extend file' using errcode = '53100'; end $$`)
      await sql.query(`create trigger full_disk before insert on ${table} execute function full_disk()`)
      const before = broker.packetsOf('publish').length
      const count = async () =>
        (await sql.query<{ count: number }>('select count(*)::int as count from vault_entries')).rows[0]?.count
      const entries = await count()
      try {
        const write = await call('POST', '/api/v2/vault/seal', {
          credential_type: 'custom_kv',
          values: { hostname: 'b' },
        })
        assert.deepEqual([write.status, write.code], [503, code])
        assert.equal(await count(), entries)
        const published = await publish(call, integrationId)
        assert.equal(published.status, table === 'audit_rows' ? 503 : 200)
        assert.equal(broker.packetsOf('publish').length, table === 'audit_rows' ? before : before + 1)
        assert.equal((await call('GET', '/api/v2/vault/entries')).status, 200)
      } finally {
        await sql.query('drop function full_disk cascade')
      }
      assert.equal((await publish(call, integrationId)).status, 200)
    })
  }
})
