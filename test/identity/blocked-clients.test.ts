import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Caller } from '#src/audit/audit.ts'
import { systemClock } from '#src/core/clock.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import type { Db } from '#src/db/db.ts'
import { UNKNOWN_LIST } from '#src/identity/blocked/blocked-client.ts'
import { createBlockedClients } from '#src/identity/blocked/blocked-clients.ts'
import { createBlockedFollowers } from '#src/identity/blocked/follow-blocked.ts'
import { eventually } from '#test/audit/parts.ts'
import { errorOf } from '#test/policies/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { localFeed, memoryAudit, testClock } from '#test/support/deployment.ts'

describe('blocked clients', () => {
  let database: TestDatabase
  let feed: ChangeFeed
  before(async () => {
    database = await testDatabase()
    feed = await createChangeFeed(database.connection)
  })
  after(async () => {
    await feed.close()
    await database.drop()
  })

  async function setUp(more: { feed?: ChangeFeed } = {}) {
    const tenantId = newId('ten')
    await database.db.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [tenantId])
    const [audit, clock] = [memoryAudit(), testClock()]
    const blocked = createBlockedClients({ db: database.db, feed: more.feed ?? feed, audit, clock })
    const caller: Caller = { tenantId, actor: { id: newId('key') }, requestId: newId('req') }
    return { tenantId, audit, clock, blocked, caller }
  }

  /** A database that can go away. */
  function fragile() {
    const db = { isAway: false, reads: 0 }
    const query: Db['query'] = (...args) => {
      db.reads++
      return db.isAway
        ? Promise.reject(Object.assign(new Error('away'), { code: 'database.unavailable' }))
        : database.db.query(...args)
    }
    return Object.assign(db, { query, transaction: database.db.transaction, close: async () => {} })
  }

  test('an entry is stored, listed, read, removed, and each change is on the audit log', async () => {
    const { tenantId, audit, clock, blocked, caller } = await setUp()
    const expiresAt = new Date(clock.now() + 60_000)
    const first = await blocked.block(caller, { type: 'client_id', value: 'c1' })
    clock.advance(1)
    const second = await blocked.block(caller, { type: 'ip', value: '10.0.0.0/8', description: 'lab', expiresAt })
    assert.deepEqual(await blocked.list(tenantId, { limit: 10 }), [second, first])
    assert.deepEqual(await blocked.list(tenantId, { limit: 1, after: second.id }), [first])
    assert.deepEqual(await blocked.get(tenantId, second.id), second)
    assert.deepEqual([second.description, second.expiresAt, second.createdBy], ['lab', expiresAt, caller.actor.id])
    await blocked.unblock(caller, first.id)
    await errorOf(blocked.unblock(caller, first.id), 'object.not_found')
    await errorOf(blocked.get(tenantId, first.id), 'object.not_found')
    assert.deepEqual(
      audit.events.map(({ action, object, detail }) => [action, object?.id, detail?.['type'], detail?.['blocked']]),
      [
        ['clients.block', first.id, 'client_id', 'c1'],
        ['clients.block', second.id, 'ip', '10.0.0.0/8'],
        ['clients.unblock', first.id, 'client_id', 'c1'],
      ],
    )
  })

  test('nothing is blocked when the audit log cannot say so', async () => {
    const { tenantId, audit, blocked, caller } = await setUp()
    audit.failing = true
    await assert.rejects(blocked.block(caller, { type: 'client_id', value: 'c1' }))
    audit.failing = false
    assert.deepEqual(await blocked.list(tenantId, { limit: 10 }), [])
  })

  test('another tenant sees nothing of it and cannot unblock it', async () => {
    const [mine, theirs] = [await setUp(), await setUp()]
    const { id } = await mine.blocked.block(mine.caller, { type: 'client_id', value: 'c1' })
    await errorOf(theirs.blocked.get(theirs.tenantId, id), 'object.not_found')
    await errorOf(theirs.blocked.unblock(theirs.caller, id), 'object.not_found')
    assert.deepEqual(await theirs.blocked.list(theirs.tenantId, { limit: 10 }), [])
    assert.equal((await mine.blocked.list(mine.tenantId, { limit: 10 })).length, 1)
  })

  test('the same twice is refused and names the first one; once that has expired, it is not', async () => {
    const { tenantId, clock, blocked, caller } = await setUp()
    const expiresAt = new Date(clock.now() + 1_000)
    const first = await blocked.block(caller, { type: 'username', value: 'u1', expiresAt })
    const refused = await errorOf(blocked.block(caller, { type: 'username', value: 'u1' }), 'object.in_use')
    assert.equal(refused.details?.['id'], first.id)
    clock.advance(1_000)
    const second = await blocked.block(caller, { type: 'username', value: 'u1' })
    assert.deepEqual(await blocked.list(tenantId, { limit: 10 }), [second])
  })

  test('values and times that are none are refused, and name the member', async () => {
    const { clock, blocked, caller } = await setUp()
    const bad = await errorOf(blocked.block(caller, { type: 'client_id_regex', value: '(' }), 'request.invalid')
    assert.match(bad.message, /^value: /)
    const past = { type: 'client_id', value: 'c', expiresAt: new Date(clock.now()) } as const
    assert.match((await errorOf(blocked.block(caller, past), 'request.invalid')).message, /^expires_at: /)
  })

  test('a tenant has at most a hundred expressions, also when many are made at once', async () => {
    const { tenantId, blocked, caller } = await setUp()
    for (let i = 0; i < 95; i++) await blocked.block(caller, { type: 'client_id_regex', value: `x${i}` })
    const more = Array.from({ length: 10 }, (_, i) => blocked.block(caller, { type: 'username_regex', value: `y${i}` }))
    const ends = await Promise.allSettled(more)
    assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, 5)
    await errorOf(blocked.block(caller, { type: 'client_id_regex', value: 'z' }), 'quota.exceeded')
    await blocked.block(caller, { type: 'client_id', value: 'z' })
    assert.equal((await blocked.list(tenantId, { limit: 200 })).length, 101)
  })

  test('what expired a week ago is swept, and nothing else', async () => {
    const { tenantId, clock, blocked, caller } = await setUp()
    await blocked.block(caller, { type: 'client_id', value: 'stays' })
    const kept = await blocked.block(caller, {
      type: 'client_id',
      value: 'b',
      expiresAt: new Date(clock.now() + 2_000),
    })
    clock.advance(7 * 86_400_000 + 1_999)
    assert.equal(await blocked.sweep(), 0)
    assert.ok((await blocked.list(tenantId, { limit: 10 })).some(({ id }) => id === kept.id))
    clock.advance(1)
    assert.equal(await blocked.sweep(), 1)
    assert.deepEqual(
      (await blocked.list(tenantId, { limit: 10 })).map(({ value }) => value),
      ['stays'],
    )
  })

  test('a follower in another process learns within a second, refuses from memory, and lets in again', async (t) => {
    const { tenantId, blocked, caller } = await setUp()
    const otherFeed = await createChangeFeed(database.connection)
    const db = fragile()
    const followers = createBlockedFollowers({ db, feed: otherFeed, clock: systemClock, log: silentLog })
    t.after(async () => {
      followers.close()
      await otherFeed.close()
    })
    const judge = followers.follow(tenantId).judge
    assert.equal(judge({ clientId: 'c1' }), UNKNOWN_LIST, 'nobody comes in before the list was read')
    await followers.ready()
    assert.equal(judge({ clientId: 'c1' }), undefined)
    const { id } = await blocked.block(caller, { type: 'client_id', value: 'c1' })
    const startedMs = performance.now()
    await eventually(async () => judge({ clientId: 'c1' }) === id || undefined)
    assert.ok(performance.now() - startedMs < 1_000)
    assert.equal(judge({ clientId: 'c2' }), undefined)
    const before = db.reads
    for (let i = 0; i < 1_000; i++) judge({ clientId: `c${i}`, username: 'u', ip: '192.0.2.1' })
    assert.equal(db.reads, before)
    await blocked.unblock(caller, id)
    await eventually(async () => judge({ clientId: 'c1' }) === undefined || undefined)
  })

  test('an announcement that is lost is made up for within five seconds', async (t) => {
    const deaf = { ...localFeed(), announce: async () => undefined }
    const { tenantId, blocked, caller } = await setUp({ feed: deaf })
    const followers = createBlockedFollowers({ db: database.db, feed: deaf, clock: systemClock, log: silentLog })
    t.after(() => followers.close())
    const { judge } = followers.follow(tenantId)
    await followers.ready()
    const { id } = await blocked.block(caller, { type: 'username', value: 'u1' })
    const startedMs = performance.now()
    await eventually(async () => judge({ clientId: 'c', username: 'u1' }) === id || undefined)
    assert.ok(performance.now() - startedMs < 5_000)
  })

  test('an entry ends at its time, without the database', async (t) => {
    const { tenantId, clock, blocked, caller } = await setUp()
    const expiresAt = new Date(clock.now() + 10_000)
    const { id } = await blocked.block(caller, { type: 'client_id', value: 'c1', expiresAt })
    const lasting = await blocked.block(caller, { type: 'client_id', value: 'c2' })
    const followers = createBlockedFollowers({ db: database.db, feed: localFeed(), clock, log: silentLog })
    t.after(() => followers.close())
    const { judge } = followers.follow(tenantId)
    await followers.ready()
    clock.advance(9_999)
    assert.equal(judge({ clientId: 'c1' }), id)
    clock.advance(1)
    assert.equal(judge({ clientId: 'c1' }), undefined)
    assert.equal(judge({ clientId: 'c2' }), lasting.id)
  })

  test('while the database is away the last list serves, then everybody is refused, and it recovers', async (t) => {
    const { tenantId, clock, blocked, caller } = await setUp()
    const { id } = await blocked.block(caller, { type: 'client_id', value: 'c1' })
    const db = fragile()
    const warnings: string[] = []
    const log = { ...silentLog, warn: (_: object, message: string) => void warnings.push(message) }
    const heard = localFeed()
    const followers = createBlockedFollowers({ db, feed: heard, clock, log, staleMs: 30_000 })
    t.after(() => followers.close())
    const { judge } = followers.follow(tenantId)
    await followers.ready()
    db.isAway = true
    heard.send('blocked_client', undefined) // the feed has lost its connection
    await followers.ready()
    clock.advance(30_000)
    assert.deepEqual([judge({ clientId: 'c1' }), judge({ clientId: 'c2' })], [id, undefined])
    clock.advance(1)
    assert.deepEqual([judge({ clientId: 'c1' }), judge({ clientId: 'c2' })], [UNKNOWN_LIST, UNKNOWN_LIST])
    assert.equal(warnings.length, 1)
    db.isAway = false
    heard.send('blocked_client', undefined)
    await followers.ready()
    assert.deepEqual([judge({ clientId: 'c1' }), judge({ clientId: 'c2' })], [id, undefined])
  })
})
