import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Audit } from '#src/audit/audit.ts'
import { createAuditedChange } from '#src/audit/audited-change.ts'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import type { Db } from '#src/db/db.ts'
import { testDatabase } from '#test/support/database.ts'
import { auditOn, eventOf, eventually } from './parts.ts'

describe('changes whose rows or commits come late or without an answer', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  /** The database, but for what happens at the end of a transaction. */
  const ending = (end: <T>(commit: () => Promise<T>) => Promise<T>): Db => ({
    ...db,
    transaction: (work) => end(() => db.transaction(work)),
  })
  const away = () => new AppError('database.unavailable', 'The database does not answer.')

  async function outcomesOf(tenantId: string): Promise<string[]> {
    const { rows } = await db.query<{ outcome: string }>(
      'select outcome from audit_rows where tenant_id = $1 order by seq',
      [tenantId],
    )
    return rows.map(({ outcome }) => outcome)
  }
  async function isMade(tenantId: string): Promise<boolean> {
    return (await db.query('select 1 from tenants where id = $1', [tenantId])).rows.length === 1
  }

  /** Inserts a tenant, through `changing`, on the record of `audit`. */
  function makeTenant(changing: Db, audit: Audit, tenantId: string): Promise<void> {
    return createAuditedChange({ db: changing, audit })(async (tx) => {
      await tx.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [tenantId])
      return { result: undefined, events: [eventOf(tenantId)] }
    })
  }

  test('a flush that commits after it was given up on: nothing is changed, and the row is followed by `unknown`', async () => {
    const tenantId = newId('ten')
    let letGo = () => {}
    const gate = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const log = auditOn(
      ending(async (commit) => {
        await gate
        return commit()
      }),
      { limits: { timeoutMs: 500 } },
    )
    let records = 0
    const audit: Audit = {
      record(...events) {
        if (++records === 2) letGo()
        return log.record(...events)
      },
    }
    await assert.rejects(makeTenant(db, audit, tenantId), { code: 'audit.unavailable' })
    letGo()
    await log.close()
    assert.deepEqual(await outcomesOf(tenantId), ['success', 'unknown'])
    assert.equal(await isMade(tenantId), false)
  })

  test('a flush whose commit is not answered: nothing is changed, and the row is followed by `unknown`', async () => {
    const tenantId = newId('ten')
    let lost = false
    const log = auditOn(
      ending(async (commit) => {
        const value = await commit()
        if (lost) return value
        lost = true
        throw away()
      }),
    )
    await assert.rejects(makeTenant(db, log, tenantId), { code: 'audit.unavailable' })
    await log.close()
    assert.deepEqual(await outcomesOf(tenantId), ['success', 'unknown'])
    assert.equal(await isMade(tenantId), false)
  })

  for (const made of [true, false]) {
    test(`a change whose commit is not answered is unknown to the caller and on record, also when it ${made ? 'was made' : 'was not'}`, async () => {
      const tenantId = newId('ten')
      const log = auditOn(db)
      const changing: Db = {
        ...db,
        async transaction(work) {
          await db.transaction(async (tx) => {
            await work(tx)
            if (!made) throw away()
          })
          throw away()
        },
      }
      await assert.rejects(makeTenant(changing, log, tenantId), { code: 'outcome.unknown' })
      await log.close()
      assert.deepEqual(await outcomesOf(tenantId), ['success', 'unknown'])
      assert.equal(await isMade(tenantId), made)
    })
  }

  test('a connection that is cut at the commit, at a real server', async () => {
    const tenantId = newId('ten')
    const log = auditOn(database.db)
    const cutting: Audit = {
      async record(...events) {
        await log.record(...events)
        if (events[0]?.outcome !== 'success') return
        await db.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where state = 'idle in transaction' and datname = current_database()`,
        )
        await eventually(async () => {
          const { rows } = await db.query(`select 1 from pg_stat_activity
            where state = 'idle in transaction' and datname = current_database()`)
          return rows.length === 0 || undefined
        })
      },
    }
    await assert.rejects(makeTenant(db, cutting, tenantId), { code: 'outcome.unknown' })
    await log.close()
    assert.deepEqual(await outcomesOf(tenantId), ['success', 'unknown'])
    assert.equal(await isMade(tenantId), false)
  })

  test('an undisturbed change leaves one row', async () => {
    const tenantId = newId('ten')
    const log = auditOn(db)
    await makeTenant(db, log, tenantId)
    await log.close()
    assert.deepEqual(await outcomesOf(tenantId), ['success'])
    assert.equal(await isMade(tenantId), true)
  })
})
