import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AuditEvent } from '#src/audit/audit.ts'
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
      transaction: (work) =>
        db.transaction(async (tx) => {
          const claimed = await work(tx)
          meanwhile.push(await sweep())
          return claimed
        }),
    }
    assert.equal(await sweepOrphanedIntents({ db: claiming, audit, clock }), 1)
    assert.ok(meanwhile.length >= 2)
    for (const count of meanwhile) assert.equal(count, 0)
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

  test('an outcome that comes after the sweeper has seen the intent closes it', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    await audit.record(intentOf(tenantId, 'msg_1'), intentOf(tenantId, 'msg_2'))
    assert.equal(await sweep(), 0)
    await audit.record(outcomeOf(tenantId, 'msg_1'))
    clock.nowMs = START + 1_000_000
    assert.equal(await sweep(), 1)
    await audit.close()
    const outcomes = (await rowsOf(tenantId)).slice(2).map((row) => [row.message_id, row.outcome])
    assert.deepEqual(outcomes, [
      ['msg_1', 'success'],
      ['msg_2', 'unknown'],
    ])
  })

  test('a process that dies after it closed an intent, before the sweeper reads on, leaves nothing to close twice', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    await audit.record(intentOf(tenantId, 'msg_1'))
    await sweep()
    clock.nowMs = START + 1_000_000
    let steps = 0
    const dying: Db = {
      ...db,
      transaction: (work) => (++steps > 1 ? Promise.reject(new Error('killed')) : db.transaction(work)),
    }
    await assert.rejects(sweepOrphanedIntents({ db: dying, audit, clock }), /killed/)
    assert.equal((await rowsOf(tenantId)).length, 2)
    clock.nowMs += 1_000_000
    assert.equal(await sweep(), 0)
    await audit.close()
    assert.equal((await rowsOf(tenantId)).length, 2)
  })

  test('an id that is used again is closed again, also when all of it is read at once', async () => {
    const { clock, audit, sweep } = parts()
    const [atOnce, later] = [newId('ten'), newId('ten')]
    for (const tenantId of [atOnce, later]) {
      await audit.record(intentOf(tenantId, 'msg_1'))
      if (tenantId === later) await sweep()
      await audit.record(outcomeOf(tenantId, 'msg_1'), intentOf(tenantId, 'msg_1'))
    }
    clock.nowMs = START + 1_000_000
    assert.equal(await sweep(), 2)
    assert.equal(await sweep(), 0)
    await audit.close()
    for (const tenantId of [atOnce, later]) {
      assert.deepEqual(
        (await rowsOf(tenantId)).map(({ action, outcome }) => `${action.split('.')[2]} ${outcome}`),
        ['intent success', 'outcome success', 'intent success', 'outcome unknown'],
      )
    }
  })

  test('an intent that stays open, for its deadline or for a clock that ran ahead, holds up no later one', async () => {
    const { clock, audit, sweep } = parts()
    const tenantId = newId('ten')
    clock.nowMs = START + 86_400_000
    await audit.record(intentOf(tenantId, 'msg_ahead'))
    clock.nowMs = START
    await audit.record(intentOf(tenantId, 'msg_long', 3_600_000), intentOf(tenantId, 'msg_short', 1_000))
    clock.nowMs = START + 61_000
    assert.equal(await sweep(), 1)
    clock.nowMs = START + 3_659_999
    assert.equal(await sweep(), 0)
    clock.nowMs = START + 3_660_000
    assert.equal(await sweep(), 1)
    await audit.close()
    assert.deepEqual(
      (await rowsOf(tenantId)).slice(3).map((row) => row.message_id),
      ['msg_short', 'msg_long'],
    )
    await db.query('delete from audit_open_intents where tenant_id = $1', [tenantId])
  })

  const damages: [string, string][] = [
    ['bytes that are not JSON', `row_bytes = 'x'`],
    ['another message id', `message_id = 'msg_other'`],
    ['a deadline beyond every calendar', `row_bytes = convert_to('{"detail":{"deadline_ms":1e300}}', 'UTF8')`],
  ]
  for (const [what, damage] of damages) {
    test(`a row found with ${what} keeps its intent open, and nobody else’s`, async () => {
      const { clock, audit, sweep } = parts()
      const [victim, other] = [newId('ten'), newId('ten')]
      await audit.record(intentOf(victim, 'msg_1', 1_000), intentOf(other, 'msg_1'))
      await sweep()
      await db.query(`update audit_rows set ${damage} where tenant_id = $1`, [victim])
      clock.nowMs = START + 1_000_000
      const swept = await sweep().then(
        () => 'nothing said',
        (err: { code?: unknown }) => err.code,
      )
      assert.equal(swept, what.startsWith('a deadline') ? 'nothing said' : 'internal')
      await audit.close()
      await db.query('delete from audit_open_intents where tenant_id = $1', [victim])
      assert.equal((await rowsOf(other)).length, 2)
      const { rows } = await db.query('select from audit_rows where tenant_id = $1', [victim])
      assert.equal(rows.length, 1)
    })
  }

  /** Rows as a flush writes them, but for hashes: far more than a test could record. */
  async function fill(tenantId: string, count: number, at: Date): Promise<void> {
    await db.query(
      `insert into audit_rows (tenant_id, seq, id, at, action, outcome, message_id, row_bytes, prev_hash, hash)
       select $1, n, 'aud_' || n, $3, 'proxy.publish.' || case when n % 2 = 1 then 'intent' else 'outcome' end, 'success',
              'msg_' || (n + 1) / 2, '{"object":null,"detail":{}}', sha256(''), sha256('') from generate_series(1, $2::bigint) n`,
      [tenantId, count, at],
    )
    await db.query(
      `insert into audit_heads (tenant_id, seq, hash, mac, mac_key_id) values ($1, $2, sha256(''), sha512(''), 'x')`,
      [tenantId, count],
    )
  }

  test('a chain of many pages is read to its end, each row once, and only then are its intents closed', async () => {
    const { clock, sweep } = parts()
    const [long, short] = [newId('ten'), newId('ten')]
    await fill(long, 25_001, new Date(START))
    await fill(short, 1, new Date(START))
    clock.nowMs = START + 1_000_000
    const closed: string[] = []
    const pages: bigint[] = []
    const watched: Db = {
      ...db,
      async transaction(work) {
        const before = await readTo(long)
        const result = await db.transaction(work)
        pages.push((await readTo(long)) - before)
        return result
      },
    }
    const audit = {
      async record(...events: readonly AuditEvent[]) {
        for (const { tenantId, messageId } of events) {
          if (tenantId === long) assert.equal(await readTo(long), 25_001n)
          closed.push(`${tenantId} ${messageId}`)
        }
      },
    }
    assert.equal(await sweepOrphanedIntents({ db: watched, audit, clock }), 2)
    assert.deepEqual(closed.sort(), [`${long} msg_12501`, `${short} msg_1`].sort())
    assert.ok(pages.filter((rows) => rows > 0n).length >= 3, String(pages))
    assert.ok(pages.every((rows) => rows <= 10_000n))
    assert.equal(await sweep(), 0)
    for (const tenantId of [long, short])
      await db.query('delete from audit_open_intents where tenant_id = $1', [tenantId])
  })

  async function readTo(tenantId: string): Promise<bigint> {
    const { rows } = await db.query<{ seq: string }>('select seq from audit_sweeps where tenant_id = $1', [tenantId])
    return BigInt(rows[0]?.seq ?? 0)
  }
})
