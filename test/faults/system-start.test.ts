import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { testDatabase } from '#test/support/database.ts'
import { startKmsDouble } from '#test/support/kms-double.ts'
import { patience } from '#test/support/patience.ts'
import { runToExit, startServerProcess } from '#test/support/server-process.ts'
import { awsEnv } from './kms-parts.ts'

test('F18: a KMS that is down at the start stops it, of a new deployment and of one that is there; nothing is made in its place', async () => {
  const kms = await startKmsDouble()
  const database = await testDatabase()
  const home = await mkdtemp(path.join(tmpdir(), 'sealwire-kms-'))
  const env = { ...awsEnv(kms, kms.createKey().arn), DATABASE_URL: database.url, DATA_DIR: home }
  const keysInDatabase = async () =>
    (await database.db.query<{ count: number }>('select count(*)::int as count from keys')).rows[0]?.count ?? 0
  const assertRefused = async () => {
    const { code, said, ms } = await runToExit(env)
    assert.equal(code, 1, said)
    assert.match(said, /key wrapper/)
    assert.ok(!said.includes('listening'))
    assert.ok(ms < patience(12_000), `took ${Math.round(ms)} ms`)
    assert.ok(!existsSync(path.join(home, 'local-kms.json')), 'fell back to a local key')
  }
  try {
    await kms.down()
    await assertRefused()
    assert.equal(await keysInDatabase(), 0)
    assert.ok(!existsSync(path.join(home, 'owner-api-key')))

    await kms.up()
    const first = await startServerProcess(env)
    first.child.kill('SIGKILL')
    const made = await keysInDatabase()
    assert.ok(made > 0)

    await kms.down()
    await assertRefused()
    assert.equal(await keysInDatabase(), made)

    await kms.up()
    const again = await startServerProcess(env)
    assert.equal((await fetch(`${again.url}/health/ready`)).status, 200)
    again.child.kill('SIGKILL')
  } finally {
    await kms.close()
    await database.drop()
    await rm(home, { recursive: true, force: true })
  }
})

test('a signal ends a start that waits for what does not come', async () => {
  const database = await testDatabase()
  const home = await mkdtemp(path.join(tmpdir(), 'sealwire-start-'))
  const holder = new pg.Client({ connectionString: database.url })
  try {
    await holder.connect()
    await holder.query(`select pg_advisory_lock(hashtextextended('sealwire/migrate', 0))`)
    const waits = `select pid from pg_locks where locktype = 'advisory' and not granted
      and database = (select oid from pg_database where datname = current_database())`
    let toldMs = 0
    const { code, said } = await runToExit({ DATABASE_URL: database.url, DATA_DIR: home }, async (child) => {
      while ((await holder.query(waits)).rowCount === 0) await delay(20)
      toldMs = performance.now()
      child.kill('SIGTERM')
    })
    assert.equal(code, 1, said)
    assert.match(said, /told to stop before it had started/)
    assert.ok(performance.now() - toldMs < patience(6_000))
  } finally {
    await holder.end()
    await database.drop()
    await rm(home, { recursive: true, force: true })
  }
})
