import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Caller } from '#src/audit/audit.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import type { Db } from '#src/db/db.ts'
import type { Refusal } from '#src/identity/chain.ts'
import { OTHERS } from '#src/identity/unauthorised/unauthorised-client.ts'
import { createUnauthorisedClients } from '#src/identity/unauthorised/unauthorised-clients.ts'
import { errorOf } from '#test/policies/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { memoryAudit, testClock } from '#test/support/deployment.ts'

const refusal = (clientId: string, more: Partial<Refusal> = {}): Refusal => ({
  clientId,
  passwordProvided: true,
  reason: 'wrong-password',
  ...more,
})

describe('the log of unauthorised clients', () => {
  let database: TestDatabase
  before(async () => {
    database = await testDatabase()
  })
  after(() => database.drop())

  async function setUp() {
    const tenantId = newId('ten')
    await database.db.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [tenantId])
    const [audit, clock] = [memoryAudit(), testClock()]
    const state = { isAway: false, statements: 0 }
    const query: Db['query'] = (...args) => {
      state.statements++
      if (state.isAway) return Promise.reject(Object.assign(new Error('away'), { code: 'database.unavailable' }))
      return database.db.query(...args)
    }
    const db = { query, transaction: database.db.transaction, close: async () => {} }
    const clients = createUnauthorisedClients({ db, audit, clock, log: silentLog })
    const caller: Caller = { tenantId, actor: { id: newId('key') }, requestId: newId('req') }
    const list = (more = {}) => clients.list(tenantId, { limit: 10_000, ...more })
    return { tenantId, audit, clock, state, clients, caller, list, log: clients.logOf(tenantId, 'default') }
  }

  test('attempts of one client are one row with their number and the details of the last one', async () => {
    const { tenantId, clock, state, clients, list, log } = await setUp()
    const firstMs = clock.now()
    log.note(refusal('c1', { username: 'u1', ip: '192.0.2.1', tls: true, listener: 'ssl', provider: 'file' }))
    for (let i = 0; i < 500; i++) log.note(refusal('c1'))
    clock.advance(1_000)
    log.note(refusal('c1', { reason: 'blocked', entryId: 'blk_1', passwordProvided: false }))
    assert.equal(state.statements, 0, 'nothing is written while a client waits')
    await clients.flush()
    clock.advance(1_000)
    log.note(refusal('c1', { username: 'u2', ip: '2001:db8::1', reason: 'unknown-user' }))
    await clients.flush()
    const [row, ...more] = await list()
    assert.deepEqual(more, [])
    const { id, tenantId: of, ...rest } = row ?? assert.fail()
    assert.match(id, /^una_/)
    assert.equal(of, tenantId)
    assert.deepEqual(rest, {
      hook: 'default',
      clientId: 'c1',
      username: 'u2',
      ip: '2001:db8::1',
      listener: null,
      tls: null,
      passwordProvided: true,
      reason: 'unknown-user',
      provider: null,
      entryId: null,
      count: 503,
      firstAt: new Date(firstMs),
      lastAt: new Date(firstMs + 2_000),
      letInAt: null,
    })
  })

  test('it is written by itself a second later', async () => {
    const { list, log } = await setUp()
    log.note(refusal('c1'))
    const startedMs = performance.now()
    while ((await list()).length === 0) assert.ok(performance.now() - startedMs < 10_000)
    assert.ok(performance.now() - startedMs > 500)
  })

  test('a row stays when its client gets in, and says when; the next attempt that fails takes that back', async () => {
    const { clock, state, clients, list, log, tenantId } = await setUp()
    const second = clients.logOf(tenantId, 'second')
    for (const one of ['c1', 'c2', '']) log.note(refusal(one))
    second.note(refusal('c1'))
    clock.advance(1_000)
    log.letIn?.('c1')
    log.letIn?.('')
    log.letIn?.('never refused')
    const letInAt = new Date(clock.now())
    assert.equal(state.statements, 0, 'nothing is written while a client waits')
    await clients.flush()
    const told = async (more = {}) =>
      (await list(more))
        .map((row) => [row.hook, row.clientId, row.letInAt?.getTime() ?? null])
        .sort((a, b) => (a.join('\0') < b.join('\0') ? -1 : 1))
    const out = [
      ['default', '', null],
      ['default', 'c2', null],
      ['second', 'c1', null],
    ]
    assert.deepEqual(await told({ letIn: false }), out)
    assert.deepEqual(await told({ letIn: true }), [['default', 'c1', letInAt.getTime()]])
    assert.equal((await list()).length, 4)

    clock.advance(1_000)
    log.note(refusal('c1'))
    await clients.flush()
    assert.deepEqual(await told({ letIn: true }), [])
    const [row] = await list({ clientId: 'c1', hook: 'default' })
    assert.deepEqual([row?.count, row?.letInAt], [2, null])

    clock.advance(1_000)
    log.letIn?.('c2') // one after the other within a second: what came last counts
    clock.advance(1)
    log.note(refusal('c2'))
    await clients.flush()
    assert.deepEqual(await told({ letIn: true }), [])
  })

  test('a success is known to whoever was refused by another process, and after an outage of the database', async () => {
    const { state, clock, clients, list, log, tenantId, audit } = await setUp()
    log.note(refusal('c1'))
    await clients.flush()
    clock.advance(1_000)
    const db = { query: database.db.query, transaction: database.db.transaction, close: async () => {} }
    const other = createUnauthorisedClients({ db, audit, clock, log: silentLog })
    other.logOf(tenantId, 'default').letIn?.('c1')
    await other.close()
    assert.equal((await list({ letIn: true })).length, 1)

    log.note(refusal('c2'))
    await clients.flush()
    clock.advance(1_000)
    state.isAway = true
    for (let i = 0; i < 50_000; i++) log.letIn?.(`many-${i}`)
    log.letIn?.('c2')
    await assert.rejects(clients.flush())
    state.isAway = false
    const before = state.statements
    await clients.close()
    assert.ok(state.statements - before <= 20_000 / 500, `${state.statements - before} statements`)
    assert.deepEqual((await list({ letIn: true })).map(({ clientId }) => clientId).sort(), ['c1', 'c2'])
  })

  test('hooks and tenants have rows of their own', async () => {
    const [mine, theirs] = [await setUp(), await setUp()]
    mine.log.note(refusal('c1'))
    mine.clients.logOf(mine.tenantId, 'second').note(refusal('c1'))
    theirs.log.note(refusal('c1'))
    await Promise.all([mine.clients.flush(), theirs.clients.flush()])
    assert.deepEqual((await mine.list()).map(({ hook }) => hook).sort(), ['default', 'second'])
    assert.equal((await theirs.list()).length, 1)
    const [{ id } = assert.fail()] = await theirs.list()
    await errorOf(mine.clients.remove(mine.caller, id), 'object.not_found')
    assert.equal(await mine.clients.clear(mine.caller), 2)
    assert.equal((await theirs.list()).length, 1)
  })

  test('filters and pages: the last one first, each row once', async () => {
    const { clock, clients, list, log } = await setUp()
    for (let i = 0; i < 5; i++) {
      clock.advance(i === 2 ? 0 : 1_000) // two of the same time
      log.note(refusal(`c${i}`, i % 2 === 0 ? {} : { reason: 'token-expired' }))
    }
    await clients.flush()
    const all = await list()
    assert.deepEqual(new Set(all.slice(0, 2).map(({ clientId }) => clientId)), new Set(['c4', 'c3']))
    const paged: string[] = []
    let after: { lastAt: Date; id: string } | undefined
    for (let page = await list({ limit: 2 }); page.length > 0; page = await list({ limit: 2, after })) {
      paged.push(...page.map(({ id }) => id))
      after = page.at(-1)
    }
    assert.deepEqual(
      paged,
      all.map(({ id }) => id),
    )
    assert.deepEqual(
      (await list({ reason: 'token-expired' })).map(({ clientId }) => clientId),
      ['c3', 'c1'],
    )
    assert.deepEqual((await list({ clientId: 'c2' })).length, 1)
    assert.deepEqual((await list({ hook: 'other' })).length, 0)
  })

  test('a flood of made-up client ids takes bounded rows and statements, and does not drive the others out', async () => {
    const { clock, state, clients, list, log } = await setUp()
    log.note(refusal('known'))
    await clients.flush()
    for (let minute = 0; minute < 3; minute++) {
      for (let i = 0; i < 40_000; i++) log.note(refusal(`flood-${minute}-${i}`, { username: `u${i}` }))
      log.note(refusal('known'))
      const before = state.statements
      await clients.flush()
      assert.ok(state.statements - before <= 5, `${state.statements - before} statements`)
      clock.advance(60_000)
    }
    const rows = await list()
    assert.ok(rows.length <= 1_400, `${rows.length} rows`)
    assert.equal(rows.find(({ clientId }) => clientId === 'known')?.count, 4)
    const others = rows.find(({ clientId }) => clientId === OTHERS)
    assert.equal(others?.username, null)
    const counted = rows.reduce((sum, { count }) => sum + count, 0)
    assert.equal(counted, 120_004, 'every attempt is counted')
  })

  test('a tenant keeps the 5,000 rows that were written to last', async () => {
    const { tenantId, clock, clients, list, log } = await setUp()
    await database.db.query(
      `insert into unauthorised_clients (tenant_id, hook, client_id, id, password_provided, reason, count, first_at, last_at)
       select $1, 'default', 'old-' || n, 'una_' || n, false, 'unknown-user', 1, $2, $2 from generate_series(1, 5200) n`,
      [tenantId, new Date(clock.now() - 1_000)],
    )
    log.note(refusal('new'))
    await clients.flush()
    const rows = await list()
    assert.equal(rows.length, 5_000)
    assert.equal(rows[0]?.clientId, 'new')
  })

  test('what nobody tried for three days is swept', async () => {
    const { clock, clients, list, log } = await setUp()
    log.note(refusal('old'))
    await clients.flush()
    clock.advance(3 * 86_400_000 - 1)
    log.note(refusal('new'))
    await clients.flush()
    await clients.sweep()
    assert.equal((await list()).length, 2)
    clock.advance(1)
    await clients.sweep()
    assert.deepEqual(
      (await list()).map(({ clientId }) => clientId),
      ['new'],
    )
  })

  test('while the database is away nothing is lost and nothing grows, and a client that is refused never notices', async () => {
    const { state, clients, list, log } = await setUp()
    state.isAway = true
    for (let i = 0; i < 30_000; i++) log.note(refusal(`c${i % 3_000}`))
    await assert.rejects(clients.flush())
    log.note(refusal('later'))
    await assert.rejects(clients.flush())
    state.isAway = false
    await clients.close()
    const rows = await list()
    assert.ok(rows.length <= 1_002, `${rows.length} rows`)
    assert.equal(
      rows.reduce((sum, { count }) => sum + count, 0),
      30_001,
    )
  })

  test('text that no database keeps is kept as near as can be, and bounded', async () => {
    const { clients, list, log } = await setUp()
    log.note(
      refusal(`a\0b\ud800${'x'.repeat(70_000)}`, { username: `\0${'é'.repeat(70_000)}`, ip: "'; drop table tenants" }),
    )
    log.note(refusal(''))
    await clients.flush()
    const rows = await list()
    assert.deepEqual(
      rows.map(({ clientId }) => clientId.length).sort((a, b) => a - b),
      [0, 256],
    )
    assert.ok(rows.some(({ clientId }) => clientId.startsWith('a\ufffdb\ufffdx')))
  })

  test('removing a row, or all, is on the audit log', async () => {
    const { audit, clients, caller, list, log } = await setUp()
    for (const one of ['c1', 'c2', 'c3']) log.note(refusal(one))
    await clients.flush()
    const [first = assert.fail()] = await list()
    await clients.remove(caller, first.id)
    await errorOf(clients.remove(caller, first.id), 'object.not_found')
    assert.equal(await clients.clear(caller), 2)
    assert.deepEqual(await list(), [])
    assert.deepEqual(
      audit.events.map(({ action, detail }) => [action, detail?.['client_id'], detail?.['count']]),
      [
        ['clients.clear_unauthorised', first.clientId, 1],
        ['clients.clear_unauthorised', null, 2],
      ],
    )
  })
})
