import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { migrate } from '#src/db/migrate.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

let database: TestDatabase
let folder: string
beforeEach(async () => {
  database = await testDatabase()
  await database.db.query('drop table schema_migrations')
  folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire-sql-'))
  write('0001_one.sql', 'create table one (id integer); insert into one values (1);')
  write('0002_two.sql', 'create table two (id integer);')
})
afterEach(async () => {
  await database.drop()
  rmSync(folder, { recursive: true })
})

const write = (name: string, sql: string) => writeFileSync(path.join(folder, name), sql)
const run = () => migrate(database.connection, pathToFileURL(`${folder}/`))
const versions = async () =>
  (await database.db.query<{ version: number }>('select version from schema_migrations order by 1')).rows.map(
    (r) => r.version,
  )

test('four processes that start together run every migration once between them', async () => {
  const ran = await Promise.all([run(), run(), run(), run()])
  assert.deepEqual(ran.sort(), [0, 0, 0, 2])
  assert.deepEqual((await database.db.query('select id from one')).rows, [{ id: 1 }])
})

test('a second start runs nothing, a new file runs alone', async () => {
  assert.equal(await run(), 2)
  assert.equal(await run(), 0)
  write('0003_three.sql', 'create table three (id integer)')
  assert.equal(await run(), 1)
  assert.deepEqual(await versions(), [1, 2, 3])
})

test('a file that was changed after it ran stops the start', async () => {
  await run()
  write('0002_two.sql', 'create table two (id bigint);')
  await assert.rejects(run(), /0002_two\.sql was changed/)
  write('0002_two.sql', 'create table two (id integer);')
  assert.equal(await run(), 0)
})

test('a file that fails leaves nothing of itself, and what ran before it stays', async () => {
  write('0003_three.sql', 'create table three (id integer); insert into three values (1); select 1/0;')
  await assert.rejects(run(), /0003_three\.sql failed: division by zero/)
  assert.deepEqual(await versions(), [1, 2])
  assert.deepEqual((await database.db.query(`select to_regclass('three') as name`)).rows, [{ name: null }])
  write('0003_three.sql', 'create table three (id integer)')
  assert.equal(await run(), 1)
})

test('a database that a newer release migrated is refused', async () => {
  write('0003_three.sql', 'create table three (id integer)')
  await run()
  unlinkSync(path.join(folder, '0003_three.sql'))
  await assert.rejects(run(), /migration 3.*newer release/)
})

test('a file numbered below one that ran is refused', async () => {
  write('0004_four.sql', 'create table four (id integer)')
  await run()
  write('0003_three.sql', 'create table three (id integer)')
  await assert.rejects(run(), /0003_three\.sql comes too late: 4 ran/)
})

test('a folder without migrations is refused, and one that cannot be reached is database.unavailable', async () => {
  const empty = mkdtempSync(path.join(folder, 'empty-'))
  await assert.rejects(migrate(database.connection, pathToFileURL(`${empty}/`)), /No migrations/)
  await assert.rejects(migrate({ host: '127.0.0.1', port: 1, user: 'x', database: 'x' }, pathToFileURL(`${folder}/`)), {
    code: 'database.unavailable',
  })
})
