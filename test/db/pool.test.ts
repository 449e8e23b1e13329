import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { isUniqueViolation } from '#src/db/db.ts'
import { createDb } from '#src/db/pool.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { patience } from '#test/support/patience.ts'
import { type FaultyProxy, startProxy } from './proxy.ts'

let database: TestDatabase
let proxy: FaultyProxy
let db: ReturnType<typeof createDb>

before(async () => {
  database = await testDatabase()
  await database.db.query('create table notes (id integer primary key, text text not null)')
})
after(() => database.drop())
beforeEach(async () => {
  await database.db.query('truncate notes')
  proxy = await startProxy(database.connection)
  db = createDb({ ...proxy.connection, max: 1 })
})
afterEach(async () => {
  await db.close()
  await proxy.close()
})

const unavailable = (err: unknown) => err instanceof AppError && err.code === 'database.unavailable'
const backend = async () => (await db.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid
const insert = 'insert into notes values ($1, $2)'
const notes = async () =>
  (await database.db.query<{ id: number }>('select id from notes order by id')).rows.map((r) => r.id)

test('a statement has the time that it is given, and the next one has the two seconds again', async () => {
  const startedAt = performance.now()
  await assert.rejects(db.query('select pg_sleep(60)', [], { timeoutMs: 50 }), unavailable)
  assert.ok(performance.now() - startedAt < patience(2_000))
  const shown = 'show statement_timeout'
  assert.deepEqual((await db.query(shown, [], { timeoutMs: 60_000 })).rows, [{ statement_timeout: '1min' }])
  await db.transaction(async (tx) => {
    assert.deepEqual((await tx.query(shown, [], { timeoutMs: 60_000 })).rows, [{ statement_timeout: '1min' }])
    await tx.query(insert, [1, 'kept'])
  })
  assert.deepEqual(await notes(), [1])
  assert.deepEqual((await db.query(shown)).rows, [{ statement_timeout: '2s' }])
})

test('a statement that runs for two seconds is stopped, and the connection serves on', async () => {
  const pid = await backend()
  const startedAt = performance.now()
  await assert.rejects(db.query('select pg_sleep(60)'), unavailable)
  assert.ok(performance.now() - startedAt < patience(10_000))
  assert.equal(await backend(), pid)
})

test('a violated constraint keeps its SQLSTATE, and the connection serves on', async () => {
  const pid = await backend()
  await db.query(insert, [1, 'a'])
  await assert.rejects(db.query(insert, [1, 'b']), (err) => {
    assert.ok(isUniqueViolation(err))
    assert.ok(isUniqueViolation(err, 'notes_pkey'))
    assert.ok(!isUniqueViolation(err, 'another'))
    return true
  })
  await assert.rejects(db.query(insert, [2, null]), { code: '23502' })
  await assert.rejects(db.query('selec'), { code: '42601' })
  assert.equal(await backend(), pid)
})

test('values that cannot be written are a mistake of ours, not of the database', async () => {
  const pid = await backend()
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  await assert.rejects(db.query(insert, [1, circular]), TypeError)
  assert.equal(await backend(), pid)
})

test('a server that says nothing is database.unavailable, and is used again when it speaks', async () => {
  await db.ping()
  proxy.hang()
  await assert.rejects(db.query('select 1'), unavailable)
  await assert.rejects(db.ping(), unavailable) // the connection is new and gets no answer either
  await proxy.restore()
  await db.ping()
})

test('a server that is not there is database.unavailable, and is used again when it is back', async () => {
  proxy.cut()
  await assert.rejects(db.ping(), unavailable)
  await assert.rejects(
    db.transaction(async () => 1),
    unavailable,
  )
  await proxy.restore()
  await db.ping()
})

test('a session that the server ends (57P01) is replaced: idle, in a statement, between two of a transaction', async () => {
  const terminate = (pid: number | undefined) => database.db.query('select pg_terminate_backend($1, 5000)', [pid])
  await terminate(await backend())
  await db.ping().catch((err: unknown) => assert.ok(unavailable(err))) // idle: told or not, depending on who was first
  await db.ping()

  const pid = await backend()
  const running = assert.rejects(db.query('select pg_sleep(60)'), unavailable)
  await terminate(pid)
  await running
  await db.ping()

  const transaction = db.transaction(async (tx) => {
    await tx.query(insert, [1, 'a'])
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
    await terminate(rows[0]?.pid)
    await tx.query(insert, [2, 'b'])
  })
  await assert.rejects(transaction, unavailable)
  assert.deepEqual(await notes(), [])
  await db.ping()
})

test('a pool whose connections are all taken is database.unavailable after two seconds', async () => {
  const gate = Promise.withResolvers<void>()
  const taken = db.transaction(() => gate.promise)
  await assert.rejects(db.ping(), unavailable)
  gate.resolve()
  await taken
  await db.ping()
})

test('the number that waits for a connection is bounded: one more is refused at once, and serves on when there is room', async () => {
  const narrow = createDb({ ...database.connection, max: 1, maxWaiting: 3 })
  try {
    const slow = [1, 2, 3, 4].map(() => narrow.query('select pg_sleep(0.2)'))
    let answered = 0
    for (const one of slow) void one.then(() => answered++)
    await assert.rejects(narrow.query('select 1'), { code: 'database.unavailable' })
    assert.equal(answered, 0, 'at once, and not when one of the others had ended')
    await Promise.all(slow)
    await narrow.ping()
  } finally {
    await narrow.close()
  }
})

test('a transaction commits all or, when its work throws, nothing and passes the error on', async () => {
  const result = await db.transaction(async (tx) => {
    await tx.query(insert, [1, 'a'])
    await tx.query(insert, [2, 'b'])
    return 'value'
  })
  assert.equal(result, 'value')
  const reason = new AppError('policy.denied', 'No.')
  const failing = db.transaction(async (tx) => {
    await tx.query(insert, [3, 'c'])
    throw reason
  })
  await assert.rejects(failing, (err) => err === reason)
  assert.deepEqual(await notes(), [1, 2])
})

test('a transaction whose work ignores a failed statement is refused, because PostgreSQL rolled it back', async () => {
  const ignoring = db.transaction(async (tx) => {
    await tx.query(insert, [1, 'a'])
    await tx.query(insert, [1, 'again']).catch(() => undefined)
  })
  await assert.rejects(ignoring, /Rolled back/)
  assert.deepEqual(await notes(), [])
  await db.ping()
})

test('a transaction that has ended takes no more statements', async () => {
  const escaped = await db.transaction(async (tx) => ({ tx }))
  assert.throws(() => escaped.tx.query('select 1'), /has ended/)
})

test('a connection that is lost in a transaction is not used for the next one', async () => {
  const pid = await backend()
  const lost = db.transaction(async (tx) => {
    await tx.query(insert, [1, 'a'])
    proxy.cut()
    await tx.query(insert, [2, 'b'])
  })
  await assert.rejects(lost, unavailable)
  await proxy.restore()
  assert.notEqual(await backend(), pid)
  assert.deepEqual(await notes(), [])
})

test('what fails says nothing about the server to the caller', async () => {
  proxy.cut()
  await assert.rejects(db.ping(), (err: AppError) => {
    assert.equal(err.message, 'The database does not answer.')
    assert.equal(err.retryAfterS, 1)
    return true
  })
})
