import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { type FaultyProxy, startProxy } from './proxy.ts'

let database: TestDatabase
let proxy: FaultyProxy
let feed: ChangeFeed
/** Keys that the feed announced, as events: `changed` with the key, `everything` without. */
let seen: EventEmitter

before(async () => {
  database = await testDatabase()
})
after(() => database.drop())
beforeEach(async () => {
  proxy = await startProxy(database.connection)
  feed = await createChangeFeed(proxy.connection)
  seen = new EventEmitter()
  feed.on('vault', (key) => (key === undefined ? seen.emit('everything') : seen.emit('changed', key)))
})
afterEach(async () => {
  await feed.close()
  await proxy.close()
})

const announce = (key: string) => database.db.transaction((tx) => feed.announce(tx, 'vault', key))

test('a change reaches every process once its transaction committed, keys unaltered', async () => {
  const other = await createChangeFeed(database.connection)
  const both = Promise.withResolvers<string | undefined>()
  other.on('vault', both.resolve)
  for (const key of ['ten_a', 'ten_a:entry:1', '', 'schlüssel "quoted" \\ '.repeat(100)]) {
    const changed = once(seen, 'changed')
    await announce(key)
    assert.deepEqual(await changed, [key])
  }
  assert.equal(await both.promise, 'ten_a')
  await other.close()
})

test('a change that is rolled back is not announced', async () => {
  const changed = once(seen, 'changed')
  const rolledBack = database.db.transaction(async (tx) => {
    await feed.announce(tx, 'vault', 'rolled back')
    throw new Error('no')
  })
  await assert.rejects(rolledBack, /no/)
  await announce('committed')
  assert.deepEqual(await changed, ['committed'])
})

test('a handler hears its own topic only', async () => {
  const keys: unknown[] = []
  feed.on('api_key', (key) => keys.push(key))
  const changed = once(seen, 'changed')
  await announce('x')
  await changed
  assert.deepEqual(keys, [])
})

test('a lost connection makes the feed not live and tells everybody to forget, at once; it listens again by itself', async () => {
  assert.equal(feed.live, true)
  const lost = once(seen, 'everything')
  proxy.cut()
  await lost
  assert.equal(feed.live, false)

  const back = once(seen, 'everything')
  await proxy.restore()
  await back
  assert.equal(feed.live, true)
  const changed = once(seen, 'changed')
  await announce('after')
  assert.deepEqual(await changed, ['after'])
})

test('a connection that the server ends (57P01) is replaced', async () => {
  const lost = once(seen, 'everything')
  await database.db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %' and datname = current_database()`,
  )
  await lost
  await once(seen, 'everything')
  assert.equal(feed.live, true)
})

test('a connection that breaks without a word is noticed', async () => {
  const lost = once(seen, 'everything')
  proxy.hang()
  await lost
  assert.equal(feed.live, false)
})

test('a feed that is closed while its server is away ends, and starts none where there is no server', async () => {
  const lost = once(seen, 'everything')
  proxy.cut()
  await lost
  await feed.close()
  assert.equal(feed.live, false)
  await assert.rejects(createChangeFeed(proxy.connection), { code: 'database.unavailable' })
})
