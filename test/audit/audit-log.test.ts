import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { NO_TENANT, newId } from '#src/core/ids.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { Db } from '#src/db/db.ts'
import { createDb } from '#src/db/pool.ts'
import { testDatabase } from '#test/support/database.ts'
import {
  auditOn,
  creationOf,
  eventOf,
  eventually,
  headKey,
  intentOf,
  isUnavailable,
  outcomeOf,
  verify,
} from './parts.ts'

describe('audit log', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  async function seqs(tenantId: string): Promise<number[]> {
    const { rows } = await db.query<{ seq: string }>('select seq from audit_rows where tenant_id = $1 order by seq', [
      tenantId,
    ])
    return rows.map((row) => Number(row.seq))
  }

  test('rows of several tenants go in one transaction, each chain 1, 2, 3 … without a gap', async () => {
    const [a, b] = [newId('ten'), newId('ten')]
    const audit = auditOn(db)
    await Promise.all([
      audit.record(creationOf(a), creationOf(b)),
      audit.record(eventOf(b), eventOf(NO_TENANT, { action: 'auth.refused_summary', detail: { count: 3 } })),
      audit.record(eventOf(a), eventOf(b)),
    ])
    await audit.record(eventOf(a))
    await audit.close()
    assert.deepEqual(await seqs(a), [1, 2, 3])
    assert.deepEqual(await seqs(b), [1, 2, 3])
    assert.deepEqual(await seqs(NO_TENANT), [1])
    for (const tenantId of [a, b, NO_TENANT]) assert.equal((await verify(db, tenantId)).ok, true)
  })

  test('rows of one call are committed in the order given, and columns say what the bytes say', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    await audit.record(intentOf(tenantId, 'msg_1'), outcomeOf(tenantId, 'msg_1'))
    await audit.close()
    const { rows } = await db.query<{ action: string; message_id: string; row_bytes: Buffer }>(
      'select action, message_id, row_bytes from audit_rows where tenant_id = $1 order by seq',
      [tenantId],
    )
    assert.deepEqual(
      rows.map((row) => row.action),
      ['proxy.publish.intent', 'proxy.publish.outcome'],
    )
    assert.equal((JSON.parse(rows[0]?.row_bytes.toString() ?? '') as { message_id: string }).message_id, 'msg_1')
  })

  test('replicas share one chain: concurrent writers of the same tenants in any order leave no gap and no deadlock', async () => {
    const tenants = Array.from({ length: 6 }, () => newId('ten'))
    const pools = Array.from({ length: 3 }, () => createDb(database.connection))
    const replicas = pools.map((pool) => auditOn(pool))
    const rounds = Array.from({ length: 40 }, (_, i) => i)
    await replicas[0]?.record(...tenants.map(creationOf))
    await Promise.all(
      rounds.flatMap((round) =>
        replicas.map((replica, n) => {
          const order = tenants.map((_, i) => tenants[(i * (n + 1) + round) % tenants.length] ?? '')
          return replica.record(...order.map((tenantId) => eventOf(tenantId)))
        }),
      ),
    )
    await Promise.all(replicas.map((replica) => replica.close()))
    await Promise.all(pools.map((pool) => pool.close()))
    let total = 0
    for (const tenantId of tenants) {
      const report = await verify(db, tenantId)
      assert.equal(report.ok, true)
      total += report.rows
    }
    assert.equal(total, (rounds.length * replicas.length + 1) * tenants.length)
  })

  test('64 publishes at a time: commits stay far below a third of the requests, with synchronous_commit on', async () => {
    const statistics = async () => {
      const { rows } = await db.query<{ xact_commit: string }>(
        'select xact_commit from pg_stat_database where datname = current_database()',
      )
      return Number(rows[0]?.xact_commit)
    }
    const name = `commits-${newId('req')}`
    const pool = createDb({ ...database.connection, max: 2 })
    const { rows } = await pool.query<{ synchronous_commit: string; pid: number }>(
      `select current_setting('synchronous_commit') as synchronous_commit, pg_backend_pid() as pid,
            set_config('application_name', $1, false)`,
      [name],
    )
    assert.equal(rows[0]?.synchronous_commit, 'on')
    const audit = auditOn(pool)
    const tenants = Array.from({ length: 4 }, () => newId('ten'))
    await audit.record(...tenants.map(creationOf))

    const before = await statistics()
    let requests = 0
    const worker = async (w: number) => {
      for (let i = 0; i < 20; i++) {
        const tenantId = tenants[w % tenants.length] ?? ''
        const messageId = newId('msg')
        await audit.record(intentOf(tenantId, messageId))
        await audit.record(outcomeOf(tenantId, messageId))
        requests++
      }
    }
    await Promise.all(Array.from({ length: 64 }, (_, w) => worker(w)))
    await audit.close()
    await pool.close()
    // A session reports its commits when it ends.
    await eventually(async () => {
      const { rowCount } = await db.query('select from pg_stat_activity where application_name = $1', [name])
      return rowCount === 0 ? true : undefined
    })
    const commits = (await statistics()) - before
    assert.equal(requests, 64 * 20)
    assert.ok(commits >= 40, `${commits} commits: the statistics did not arrive`)
    assert.ok(commits < requests / 6, `${commits} commits for ${requests} requests`)
    for (const tenantId of tenants) assert.deepEqual(await verify(db, tenantId), { ok: true, rows: 1 + 16 * 40 })
  })

  test('an event that the table does not know is refused alone; its neighbours are committed', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    const [good, bad] = await Promise.allSettled([
      audit.record(eventOf(tenantId)),
      audit.record(eventOf(tenantId, { detail: { password: 'x' } })),
    ])
    await audit.close()
    assert.equal(good.status, 'fulfilled')
    assert.ok(bad.status === 'rejected' && bad.reason instanceof TypeError)
    assert.deepEqual(await seqs(tenantId), [1])
  })

  test('text that PostgreSQL cannot store does not fail a flush', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    const object = { kind: 'integration', id: 'int_\u0000\ud800' }
    await audit.record(
      creationOf(tenantId),
      eventOf(tenantId, { actor: { id: 'a\u0000', userAgent: '\u0000' }, object, requestId: '\u0000' }),
    )
    await audit.close()
    assert.deepEqual(await verify(db, tenantId), { ok: true, rows: 2 })
  })

  /** A database whose next statement or transaction fails, or waits until it is let go. */
  function troubled() {
    const held: (() => void)[] = []
    const trouble = { next: 'none' as 'none' | 'fail' | 'hold', held }
    const meet = async () => {
      const { next } = trouble
      trouble.next = 'none'
      if (next === 'fail') throw new Error('the disk is full')
      if (next === 'hold') await new Promise<void>((resolve) => held.push(resolve))
    }
    const gate: Db = {
      ...db,
      query: async (...asked) => {
        await meet()
        return db.query(...asked)
      },
      transaction: async (work) => {
        await meet()
        return db.transaction(work)
      },
    }
    return { gate, trouble }
  }

  test('a failed flush fails exactly those who wait for it', async () => {
    const tenantId = newId('ten')
    const { gate, trouble } = troubled()
    const audit = auditOn(gate)
    await audit.record(creationOf(tenantId))
    trouble.next = 'fail'
    await Promise.all([
      assert.rejects(audit.record(eventOf(tenantId)), isUnavailable),
      assert.rejects(audit.record(eventOf(tenantId)), isUnavailable),
    ])
    await audit.record(eventOf(tenantId))
    await audit.close()
    assert.deepEqual(await verify(db, tenantId), { ok: true, rows: 2 })
  })

  test('a full queue refuses at once, and takes rows again when it has drained', async () => {
    const tenantId = newId('ten')
    const { gate, trouble } = troubled()
    const audit = auditOn(gate, { limits: { maxQueuedRows: 3 } })
    await audit.record(eventOf(tenantId))
    trouble.next = 'hold'
    const waiting = [audit.record(eventOf(tenantId)), audit.record(eventOf(tenantId), eventOf(tenantId))]
    await assert.rejects(audit.record(eventOf(tenantId)), isUnavailable)
    await eventually(async () => trouble.held[0])
    trouble.held.pop()?.()
    await Promise.all(waiting)
    await audit.record(eventOf(tenantId), eventOf(tenantId), eventOf(tenantId))
    await audit.close()
    assert.deepEqual(await seqs(tenantId), [1, 2, 3, 4, 5, 6, 7])
  })

  test('a tenant that records all it can is refused, and the next one is not', async () => {
    const [busy, other] = [newId('ten'), newId('ten')]
    const { gate, trouble } = troubled()
    const audit = auditOn(gate, { limits: { maxQueuedRows: 600 } })
    await Promise.all([audit.record(eventOf(busy)), audit.record(eventOf(other))])
    trouble.next = 'hold'
    const many = Array.from({ length: 100 }, () => eventOf(busy))
    const calls = Array.from({ length: 8 }, () => audit.record(...many))
    const settled = Promise.allSettled(calls)
    const waiting = Array.from({ length: 50 }, () => audit.record(eventOf(other)))
    await eventually(async () => trouble.held[0])
    trouble.held.pop()?.()
    await Promise.all(waiting)
    assert.equal((await settled).filter(({ status }) => status === 'rejected').length, 4, 'two thirds were to be had')
    await audit.close()
  })

  test('rows of one tenant wait for a flush, and not for all that another has recorded before', async () => {
    const [busy, other] = [newId('ten'), newId('ten')]
    const { gate, trouble } = troubled()
    const audit = auditOn(gate, { limits: { maxFlushRows: 16 } })
    await Promise.all([audit.record(eventOf(busy)), audit.record(eventOf(other))])
    trouble.next = 'hold'
    let committed = 0
    const before = Array.from({ length: 100 }, async (_, i) => {
      await audit.record(eventOf(busy, { detail: { version: i } }))
      assert.equal(committed++, i, 'in its order')
    })
    await eventually(async () => trouble.held[0])
    const one = audit.record(eventOf(other))
    trouble.held.pop()?.()
    await one
    assert.ok(committed <= 32, `${committed} of the other's were committed before it`)
    await Promise.all(before)
    await audit.close()
  })

  test('a database that hangs is given up on time, also by those behind it, whose rows are then never written', async () => {
    const tenantId = newId('ten')
    const { gate, trouble } = troubled()
    const audit = auditOn(gate, { limits: { timeoutMs: 50, maxQueuedRows: 2 } })
    await audit.record(eventOf(tenantId))
    trouble.next = 'hold'
    const inFlight = assert.rejects(audit.record(eventOf(tenantId)), isUnavailable)
    await eventually(async () => trouble.held[0])
    await assert.rejects(audit.record(eventOf(tenantId)), isUnavailable)
    await inFlight
    trouble.held.pop()?.()
    await audit.close()
    assert.deepEqual(await seqs(tenantId), [1, 2])
  })

  test('a large burst is written in several flushes, in order', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db, { limits: { maxFlushRows: 7 } })
    await Promise.all(Array.from({ length: 50 }, (_, i) => audit.record(eventOf(tenantId, { detail: { version: i } }))))
    await audit.close()
    const { rows } = await db.query<{ row_bytes: Buffer }>(
      'select row_bytes from audit_rows where tenant_id = $1 order by seq',
      [tenantId],
    )
    const versions = rows.map(
      (row) => (JSON.parse(row.row_bytes.toString()) as { detail: { version: number } }).detail.version,
    )
    assert.deepEqual(
      versions,
      Array.from({ length: 50 }, (_, i) => i),
    )
  })

  test('close commits what waits and refuses what comes', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    const waiting = audit.record(eventOf(tenantId))
    await audit.close()
    await waiting
    assert.deepEqual(await seqs(tenantId), [1])
    await assert.rejects(audit.record(eventOf(tenantId)), isUnavailable)
  })

  const attacks: [string, string][] = [
    ['its MAC altered', `update audit_heads set mac = sha512(mac) where tenant_id = $1`],
    [
      'gone back to an earlier place',
      `update audit_heads set seq = 0, hash = decode(repeat('00', 32), 'hex') where tenant_id = $1`,
    ],
    ['removed', `delete from audit_heads where tenant_id = $1`],
    ['under another key', `update audit_heads set mac_key_id = 'hed_other' where tenant_id = $1`],
  ]
  for (const [what, sql] of attacks) {
    test(`a head found ${what} is not written on, and no other tenant suffers`, async () => {
      const [victim, bystander] = [newId('ten'), newId('ten')]
      const audit = auditOn(db)
      await audit.record(eventOf(victim), eventOf(bystander))
      const { rowCount } = await db.query(sql, [victim])
      assert.equal(rowCount, 1)
      const [first, second] = await Promise.allSettled([
        audit.record(eventOf(victim)),
        audit.record(eventOf(bystander)),
      ])
      await audit.close()
      assert.ok(first.status === 'rejected' && isUnavailable(first.reason))
      assert.equal(second.status, 'fulfilled')
      assert.deepEqual(await seqs(victim), [1])
      assert.deepEqual(await seqs(bystander), [1, 2])

      const restarted = auditOn(db)
      await assert.rejects(restarted.record(eventOf(victim)), isUnavailable)
      await restarted.record(eventOf(bystander))
      await restarted.close()
    })
  }

  test('an old head with its own MAC, put back while this process runs, is not written on', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    await audit.record(eventOf(tenantId))
    const { rows } = await db.query<{ hash: Buffer; mac: Buffer }>(
      'select hash, mac from audit_heads where tenant_id = $1',
      [tenantId],
    )
    await audit.record(eventOf(tenantId))
    await db.query('delete from audit_rows where tenant_id = $1 and seq = 2', [tenantId])
    await db.query('update audit_heads set seq = 1, hash = $2, mac = $3 where tenant_id = $1', [
      tenantId,
      rows[0]?.hash,
      rows[0]?.mac,
    ])
    await assert.rejects(audit.record(eventOf(tenantId)), isUnavailable)
    await audit.close()
  })

  test('the head MAC is the documented one', async () => {
    const tenantId = newId('ten')
    const audit = auditOn(db)
    await audit.record(eventOf(tenantId))
    await audit.close()
    const { rows } = await db.query<{ hash: Buffer; mac: Buffer; mac_key_id: string }>(
      'select hash, mac, mac_key_id from audit_heads where tenant_id = $1',
      [tenantId],
    )
    const text = Buffer.from(`sealwire/audit/v1/head\0\0\0\0\u001e${tenantId}\0\0\0\0\0\0\0\u0001`, 'latin1')
    const head = rows[0] ?? assert.fail()
    const mac = opensslProvider.macKey(new Uint8Array(64).fill(7)).mac(Buffer.concat([text, head.hash]))
    assert.deepEqual(new Uint8Array(head.mac), mac)
    assert.equal(head.mac_key_id, headKey.id)
  })
})
