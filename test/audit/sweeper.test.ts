import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AuditRow } from '#src/audit/row.ts'
import { sweepOrphanedIntents } from '#src/audit/sweeper.ts'
import { newId } from '#src/core/ids.ts'
import type { Db } from '#src/db/db.ts'
import { createDb } from '#src/db/pool.ts'
import { testDatabase } from '#test/support/database.ts'
import { auditOn, creationOf, eventOf, eventually, intentOf, isUnavailable, outcomeOf, verify } from './parts.ts'

describe('audit sweeper', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  const START = Date.parse('2026-11-03T12:00:00Z')

  function parts() {
    const clock = { nowMs: START, now: () => clock.nowMs, monotonic: () => clock.nowMs }
    const audit = auditOn(db, { clock })
    return { clock, audit, sweep: () => sweepOrphanedIntents({ db, audit, clock }) }
  }

  async function rowsOf(tenantId: string): Promise<AuditRow[]> {
    const { rows } = await db.query<{ row_bytes: Buffer }>(
      'select row_bytes from audit_rows where tenant_id = $1 order by seq',
      [tenantId],
    )
    return rows.map((row) => JSON.parse(row.row_bytes.toString()) as AuditRow)
  }

  test('an intent without outcome is closed as unknown a minute after its deadline, not before, and once', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    const intent = intentOf(tenantId, 'msg_orphan', 10_000)
    await audit.record(creationOf(tenantId), intent)

    clock.nowMs = START + 69_999
    assert.equal(await sweep(), 0)
    clock.nowMs = START + 70_000
    assert.equal(await sweep(), 1)
    clock.nowMs = START + 10_000_000
    assert.equal(await sweep(), 0)
    await audit.close()

    const [, , closing, ...more] = await rowsOf(tenantId)
    assert.deepEqual(more, [])
    assert.deepEqual(
      { ...closing, id: null, at: null },
      {
        id: null,
        tenant_id: tenantId,
        seq: 3,
        at: null,
        action: 'proxy.publish.outcome',
        outcome: 'unknown',
        actor: { id: 'system', address: null, user_agent: null },
        object: { kind: 'integration', id: 'int_test' },
        request_id: intent.requestId,
        message_id: 'msg_orphan',
        detail: { swept: true },
      },
    )
    assert.equal((await verify(db, tenantId)).ok, true)
  })

  test('intents that have their outcome are left alone, whether it came with them, later, or under the request id', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    const collect = { action: 'proxy.subscribe.intent', requestId: 'req_1', detail: { topic: 'a' } }
    await audit.record(intentOf(tenantId, 'msg_1'), outcomeOf(tenantId, 'msg_1'))
    await audit.record(intentOf(tenantId, 'msg_2'))
    await audit.record(eventOf(tenantId, collect))
    await audit.record(outcomeOf(tenantId, 'msg_2'))
    await audit.record(eventOf(tenantId, { ...collect, action: 'proxy.subscribe.outcome' }))
    clock.nowMs = START + 1_000_000
    assert.equal(await sweep(), 0)
    await audit.close()
    assert.equal((await rowsOf(tenantId)).length, 6)
  })

  test('an outcome of another tenant, or of another action, closes nothing', async () => {
    const { clock, audit, sweep } = parts()
    const [tenantId, other] = [newId('ten'), newId('ten')]
    await audit.record(intentOf(tenantId, 'msg_1'))
    await audit.record(outcomeOf(other, 'msg_1'))
    await audit.record(eventOf(tenantId, { action: 'proxy.subscribe.outcome', messageId: 'msg_1', detail: {} }))
    clock.nowMs = START + 1_000_000
    assert.equal(await sweep(), 1)
    await audit.close()
  })

  test('two processes that sweep at once close each intent exactly once', async () => {
    const tenants = Array.from({ length: 5 }, () => newId('ten'))
    const { clock, audit } = parts()
    await audit.record(...tenants.flatMap((id) => Array.from({ length: 60 }, (_, i) => intentOf(id, `msg_${i}`))))
    await audit.close()
    clock.nowMs = START + 1_000_000

    const pools = [createDb(database.connection), createDb(database.connection)]
    const audits = pools.map((pool) => auditOn(pool, { clock }))
    const counts = await Promise.all(
      pools.map((pool, i) => sweepOrphanedIntents({ db: pool, audit: audits[i] ?? audit, clock })),
    )
    await Promise.all(audits.map((each) => each.close()))
    await Promise.all(pools.map((pool) => pool.close()))

    assert.equal(
      counts.reduce((sum, count) => sum + count),
      300,
    )
    for (const tenantId of tenants) {
      const closings = (await rowsOf(tenantId)).filter((row) => row.action === 'proxy.publish.outcome')
      assert.equal(new Set(closings.map((row) => row.message_id)).size, 60)
      assert.equal(closings.length, 60)
    }
  })

  test('a process that sweeps while another is claiming neither waits for it nor takes the same', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    await audit.record(intentOf(tenantId, 'msg_1'))
    clock.nowMs = START + 1_000_000
    const meanwhile: number[] = []
    const claiming: Db = {
      ...db,
      query: (text, values) =>
        db.transaction(async (tx) => {
          const claimed = await tx.query<never>(text, values)
          if (meanwhile.length === 0) meanwhile.push(await sweep())
          return claimed
        }),
    }
    assert.equal(await sweepOrphanedIntents({ db: claiming, audit, clock }), 1)
    assert.deepEqual(meanwhile, [0])
    await audit.close()
    assert.equal((await rowsOf(tenantId)).length, 2)
  })

  test('a tenant whose chain takes no rows keeps its intents open, and nobody else’s', async () => {
    const { clock, audit, sweep } = parts()
    const [victim, ...others] = [newId('ten'), newId('ten'), newId('ten')]
    const messages = Array.from({ length: 60 }, (_, i) => `msg_${i}`)
    await audit.record(
      intentOf(victim, 'msg_1', 1_000), // due first, so that it is in the first of two batches
      ...others.flatMap((tenantId) => messages.map((messageId) => intentOf(tenantId, messageId))),
    )
    await db.query('update audit_heads set mac = sha512(mac) where tenant_id = $1', [victim])
    clock.nowMs = START + 1_000_000
    await assert.rejects(sweep(), isUnavailable)
    await audit.close()
    await db.query('delete from audit_open_intents where tenant_id = $1', [victim])
    assert.equal((await rowsOf(victim)).length, 1)
    for (const tenantId of others) {
      const outcomes = (await rowsOf(tenantId)).filter(({ action }) => action === 'proxy.publish.outcome')
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        messages.map(() => 'unknown'),
      )
    }
  })

  test('what a sweeper could not close is taken up again when its claim has run out', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    await audit.record(intentOf(tenantId, 'msg_1'))
    clock.nowMs = START + 1_000_000
    const dead = auditOn(db, { clock })
    await dead.close()
    await assert.rejects(sweepOrphanedIntents({ db, audit: dead, clock }), isUnavailable)

    clock.nowMs += 59_999
    assert.equal(await sweep(), 0)
    clock.nowMs += 1
    assert.equal(await eventually(async () => (await sweep()) || undefined), 1)
    await audit.close()
  })
})
