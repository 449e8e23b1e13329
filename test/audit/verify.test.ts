import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { GENESIS_HASH, headMac } from '#src/audit/row.ts'
import { NO_TENANT, newId } from '#src/core/ids.ts'
import type { Db } from '#src/db/db.ts'
import { testDatabase } from '#test/support/database.ts'
import { auditOn, creationOf, eventOf, headKey, verify } from './parts.ts'

describe('audit verify', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  const ROWS = 6

  async function chains(): Promise<{ victim: string; twin: string }> {
    const [victim, twin] = [newId('ten'), newId('ten')]
    const audit = auditOn(db)
    await audit.record(creationOf(victim), creationOf(twin))
    for (let i = 2; i <= ROWS; i++)
      await audit.record(...[victim, twin].map((id) => eventOf(id, { detail: { version: i } })))
    await audit.close()
    return { victim, twin }
  }

  const shift = (from: number, by: number) => [
    `update audit_rows set seq = -seq where tenant_id = $1 and seq >= ${from}`,
    `update audit_rows set seq = -seq + ${by} where tenant_id = $1 and seq < 0`,
  ]
  const copy = (from: number, to: number) =>
    `insert into audit_rows (tenant_id, seq, id, at, action, outcome, actor_id, row_bytes, prev_hash, hash)
   select tenant_id, ${to}, id, at, action, outcome, actor_id, row_bytes, prev_hash, hash
   from audit_rows where tenant_id = $1 and seq = ${from}`
  const swap = (a: number, b: number) => [
    `update audit_rows set seq = case seq when ${a} then -${b} else -${a} end where tenant_id = $1 and seq in (${a}, ${b})`,
    'update audit_rows set seq = -seq where tenant_id = $1 and seq < 0',
  ]
  const ZERO = `decode(repeat('00', 32), 'hex')`

  /** What somebody with the database, but without the head key, could do; and the first row that is wrong then. */
  const attacks: { what: string; sql: string[]; seq: number }[] = [
    {
      what: 'the bytes of a row edited',
      sql: [
        `update audit_rows set row_bytes = convert_to(replace(convert_from(row_bytes, 'UTF8'), '"version":3', '"version":9'), 'UTF8') where tenant_id = $1 and seq = 3`,
      ],
      seq: 3,
    },
    {
      what: 'the last row edited',
      sql: [
        `update audit_rows set row_bytes = convert_to(replace(convert_from(row_bytes, 'UTF8'), '"version":6', '"version":9'), 'UTF8') where tenant_id = $1 and seq = 6`,
      ],
      seq: 6,
    },
    {
      what: 'the hash of a row edited',
      sql: [`update audit_rows set hash = sha256(hash) where tenant_id = $1 and seq = 3`],
      seq: 3,
    },
    ...['action', 'outcome', 'id', 'actor_id', 'object_id', 'request_id', 'message_id'].map((column) => ({
      what: `the column ${column} edited, the bytes left`,
      sql: [`update audit_rows set ${column} = 'other' where tenant_id = $1 and seq = 4`],
      seq: 4,
    })),
    {
      what: 'the time column edited',
      sql: [`update audit_rows set at = at + interval '1 ms' where tenant_id = $1 and seq = 4`],
      seq: 4,
    },
    {
      what: 'bytes that are not JSON',
      sql: [`update audit_rows set row_bytes = 'x' where tenant_id = $1 and seq = 4`],
      seq: 4,
    },
    { what: 'a row deleted', sql: ['delete from audit_rows where tenant_id = $1 and seq = 3'], seq: 3 },
    { what: 'the first row deleted', sql: ['delete from audit_rows where tenant_id = $1 and seq = 1'], seq: 1 },
    {
      what: 'a row deleted and the gap closed',
      sql: ['delete from audit_rows where tenant_id = $1 and seq = 3', ...shift(4, -1)],
      seq: 3,
    },
    { what: 'a row inserted', sql: [...shift(3, 1), copy(2, 3)], seq: 3 },
    { what: 'a row inserted before the first', sql: [copy(1, 0)], seq: 0 },
    { what: 'two rows swapped', sql: swap(2, 4), seq: 2 },
    { what: 'a row duplicated behind the last', sql: [copy(6, 7)], seq: 7 },
    { what: 'the tail cut', sql: ['delete from audit_rows where tenant_id = $1 and seq > 4'], seq: 5 },
    {
      what: 'the tail cut and the head moved back',
      sql: [
        'delete from audit_rows where tenant_id = $1 and seq > 4',
        'update audit_heads h set seq = 4, hash = r.hash from audit_rows r where h.tenant_id = $1 and r.tenant_id = $1 and r.seq = 4',
      ],
      seq: 5,
    },
    {
      what: 'the chain reset',
      sql: [
        'delete from audit_rows where tenant_id = $1',
        `update audit_heads set seq = 0, hash = ${ZERO} where tenant_id = $1`,
      ],
      seq: 1,
    },
    {
      what: 'everything deleted',
      sql: ['delete from audit_rows where tenant_id = $1', 'delete from audit_heads where tenant_id = $1'],
      seq: 1,
    },
    { what: 'the head deleted', sql: ['delete from audit_heads where tenant_id = $1'], seq: 7 },
    {
      what: 'the MAC of the head edited',
      sql: ['update audit_heads set mac = sha512(mac) where tenant_id = $1'],
      seq: 7,
    },
    {
      what: 'the key id of the head edited',
      sql: [`update audit_heads set mac_key_id = 'hed_other' where tenant_id = $1`],
      seq: 7,
    },
  ]

  for (const { what, sql, seq } of attacks) {
    test(`verify finds ${what} and names row ${seq}; the untouched twin passes`, async () => {
      const { victim, twin } = await chains()
      assert.deepEqual(await verify(db, victim), { ok: true, rows: ROWS })
      for (const statement of sql) assert.notEqual((await db.query(statement, [victim])).rowCount, 0, statement)
      const report = await verify(db, victim)
      assert.equal(report.ok, false)
      assert.equal(report.ok ? undefined : report.seq, seq, JSON.stringify(report))
      assert.deepEqual(await verify(db, twin), { ok: true, rows: ROWS })
    })
  }

  test('verify finds the rows of two tenants swapped, in both chains', async () => {
    const { victim, twin } = await chains()
    const other = (await chains()).twin
    await db.query(`update audit_rows set tenant_id = 'parked' where tenant_id = $1 and seq = 3`, [victim])
    await db.query('update audit_rows set tenant_id = $1 where tenant_id = $2 and seq = 3', [victim, twin])
    await db.query(`update audit_rows set tenant_id = $1 where tenant_id = 'parked'`, [twin])
    for (const tenantId of [victim, twin]) {
      assert.deepEqual(await verify(db, tenantId), {
        ok: false,
        rows: 2,
        seq: 3,
        problem: 'row does not match its columns',
      })
    }
    assert.equal((await verify(db, other)).ok, true)
  })

  test('verify finds heads of two tenants swapped', async () => {
    const { victim, twin } = await chains()
    await db.query(
      `update audit_heads a set hash = b.hash, mac = b.mac from audit_heads b
     where a.tenant_id = any ($1) and b.tenant_id = any ($1) and a.tenant_id <> b.tenant_id`,
      [[victim, twin]],
    )
    for (const tenantId of [victim, twin]) {
      const report = await verify(db, tenantId)
      assert.equal(report.ok ? undefined : report.problem, 'head is not authentic')
    }
  })

  test('verify finds everything deleted, head and all, whatever was written since', async () => {
    const { victim, twin } = await chains()
    for (const table of ['audit_rows', 'audit_heads'])
      await db.query(`delete from ${table} where tenant_id = $1`, [victim])
    const restarted = auditOn(db)
    await restarted.record(eventOf(victim), creationOf(victim))
    await restarted.close()
    assert.deepEqual(await verify(db, victim), { ok: false, rows: 0, seq: 1, problem: 'row is missing' })
    assert.deepEqual(await verify(db, twin), { ok: true, rows: ROWS })
  })

  test('a tenant whose log holds no row at all has lost its first; the log of no tenant may be empty', async () => {
    for (const [tenantId, report] of [
      [newId('ten'), { ok: false, rows: 0, seq: 1, problem: 'row is missing' }],
      [NO_TENANT, { ok: true, rows: 0 }],
    ] as const) {
      const mac = headMac(headKey.mac, tenantId, 0, GENESIS_HASH)
      await db.query('insert into audit_heads (tenant_id, seq, hash, mac, mac_key_id) values ($1, 0, $2, $3, $4)', [
        tenantId,
        GENESIS_HASH,
        mac,
        headKey.id,
      ])
      assert.deepEqual(await verify(db, tenantId), report)
    }
  })

  test('verify goes on over more than one page', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db, { limits: { timeoutMs: 10_000 } })
    await audit.record(creationOf(tenantId), ...Array.from({ length: 2099 }, () => eventOf(tenantId)))
    await audit.close()
    assert.deepEqual(await verify(db, tenantId), { ok: true, rows: 2100 })
    await db.query('delete from audit_rows where tenant_id = $1 and seq = 2050', [tenantId])
    assert.deepEqual(await verify(db, tenantId), { ok: false, rows: 2049, seq: 2050, problem: 'row is missing' })
  })
})
