import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { sweepOrphanedIntents } from '#src/audit/sweeper.ts'
import { newId } from '#src/core/ids.ts'
import { migrate } from '#src/db/migrate.ts'
import { createDb } from '#src/db/pool.ts'
import { inDatabase, testDatabase } from '#test/support/database.ts'
import { auditOn, creationOf, eventOf, intentOf, outcomeOf, verify } from './parts.ts'

test('a database with open intents goes on with them: these are closed, and what came before is not read again', async () => {
  const { db: admin, connection, drop } = await testDatabase()
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire-sql-'))
  const name = `sealwire_audit_${process.pid}`
  await admin.query(`create database ${name}`)
  const own = inDatabase(connection, name)
  const db = createDb(own)
  try {
    const files = readdirSync(new URL('../../src/db/migrations/', import.meta.url))
    const older = files.filter((file) => file < '0008')
    assert.ok(older.length >= 7 && older.length < files.length)
    for (const file of older) {
      cpSync(new URL(`../../src/db/migrations/${file}`, import.meta.url), path.join(folder, file))
    }
    await migrate(own, pathToFileURL(`${folder}/`))

    // Rows as they are written now, with the list as flushes kept it then.
    const before = createDb(own)
    await before.query(readTypes())
    const startMs = Date.parse('2026-11-03T12:00:00Z')
    const clock = { nowMs: startMs, now: () => clock.nowMs, monotonic: () => clock.nowMs }
    const audit = auditOn(before, { clock })
    const [open, still] = [newId('ten'), newId('ten')]
    for (const tenantId of [open, still]) {
      await audit.record(creationOf(tenantId), intentOf(tenantId, 'msg_done'), outcomeOf(tenantId, 'msg_done'))
    }
    await audit.record(intentOf(open, 'msg_open'), eventOf(open))
    await audit.close()
    await before.query(
      `insert into audit_open_intents (tenant_id, action, correlation, seq, close_after)
       values ($1, 'proxy.publish.intent', 'msg_open', 4, $2)`,
      [open, new Date(startMs + 70_000)],
    )
    await before.query('drop type audit_new_row; drop type audit_moved_head')
    await before.close()
    assert.ok((await migrate(own)) >= 1)

    const { rows } = await db.query<{ tenant_id: string; seq: string }>('select tenant_id, seq from audit_sweeps')
    assert.deepEqual(Object.fromEntries(rows.map((row) => [row.tenant_id, row.seq])), { [open]: '5', [still]: '3' })
    const restarted = auditOn(db, { clock })
    const sweep = () => sweepOrphanedIntents({ db, audit: restarted, clock })
    clock.nowMs = startMs + 69_999
    assert.equal(await sweep(), 0)
    clock.nowMs = startMs + 70_000
    assert.equal(await sweep(), 1)
    assert.equal(await sweep(), 0)
    await restarted.close()
    assert.deepEqual(await verify(db, open), { ok: true, rows: 6 })
    assert.deepEqual(await verify(db, still), { ok: true, rows: 3 })
  } finally {
    await db.close()
    await admin.query(`drop database ${name} with (force)`)
    await drop()
    rmSync(folder, { recursive: true })
  }
})

/** What 0008 adds for writing rows, without what it does to the list. */
function readTypes(): string {
  const sql = readFileSync(new URL('../../src/db/migrations/0008_audit.sql', import.meta.url), 'utf8')
  const types = sql.match(/^create type [^;]*;/gm) ?? []
  assert.equal(types.length, 2)
  return types.join('\n')
}
