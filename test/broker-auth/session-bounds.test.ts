// What sessions do when the database is slow, away, or says something odd at an awkward moment; no database is needed for it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createFailedLogins } from '#src/broker-auth/failed-logins.ts'
import { createProofs } from '#src/broker-auth/proofs.ts'
import { contentTag, type Session, sessionKey, writeSession } from '#src/broker-auth/session.ts'
import type { SessionRow, SessionStore } from '#src/broker-auth/session-store.ts'
import { createWriteBehind } from '#src/broker-auth/session-writes.ts'
import { createSessions } from '#src/broker-auth/sessions.ts'
import { AppError } from '#src/core/errors.ts'
import { silentLog } from '#src/core/log.ts'
import { localFeed, testClock } from '../support/deployment.ts'

const place = { hook: 'default', tenantId: 'ten_1' }
const sessionOf = (username: string, group: string, clientId = 'c'): Session => ({
  username,
  clientId,
  identity: { username, groups: [group] },
  provider: 'idp',
  grant: 'g',
})
const hexOf = (username: string, clientId = 'c') => sessionKey(place, username, clientId).toString('hex')

/** A table in memory that can be away, and whose reads a test may hold. */
function memoryStore() {
  const rows = new Map<string, string>()
  const state = { isAway: false, reads: 0, read: async () => {} }
  const reach = () => {
    if (state.isAway) throw new AppError('database.unavailable', 'The database is not available.')
  }
  const store: SessionStore = {
    async save(saved: readonly SessionRow[]) {
      reach()
      for (const { key, session } of saved) rows.set(key.toString('hex'), session)
    },
    async load(keys) {
      reach()
      state.reads++
      const found = keys.flatMap((key) => {
        const text = rows.get(key.toString('hex'))
        return text === undefined ? [] : [[key.toString('hex'), text] as const]
      })
      await state.read()
      return new Map(found)
    },
    ofUser: async () => new Map(),
    touch: async () => reach(),
    async remove(keys) {
      reach()
      for (const key of keys) rows.delete(key.toString('hex'))
    },
    sweep: async () => 0,
  }
  return Object.assign(store, { rows, state })
}

function open(store = memoryStore(), limits = {}) {
  const feed = localFeed()
  const all = { max: 10_000, maxPerUser: 10_000, idleMs: 3_600_000, staleMs: 30_000, ...limits }
  const clock = testClock()
  const sessions = createSessions({ place, store, feed, limits: all, clock, log: silentLog })
  const groupOf = async (username: string) => (await sessions.find(username, 'c'))?.session.identity.groups?.[0]
  return { store, feed, clock, sessions, groupOf }
}

/** Holds the next read where it has its rows, and has not brought them yet. */
function holdRead({ state }: ReturnType<typeof memoryStore>) {
  const [begun, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  state.read = () => {
    state.read = async () => {}
    begun.resolve()
    return released.promise
  }
  return { begun: begun.promise, release: () => released.resolve() }
}

test('a login while an older row is being read is not undone by it', async (t) => {
  const { store, sessions, groupOf } = open()
  t.after(() => sessions.close())
  store.rows.set(hexOf('alice'), writeSession(sessionOf('alice', 'admins')))
  const held = holdRead(store)
  const asked = groupOf('alice')
  await held.begun
  await sessions.put(sessionOf('alice', 'viewers'))
  assert.match(store.rows.get(hexOf('alice')) ?? '', /viewers/, 'it is written')
  held.release()
  assert.equal(await asked, 'viewers')
  assert.equal(await groupOf('alice'), 'viewers')
})

test('a session that another replica replaces while the older row is being read is read again', async (t) => {
  const { store, feed, sessions, groupOf } = open()
  t.after(() => sessions.close())
  store.rows.set(hexOf('alice'), writeSession(sessionOf('alice', 'admins')))
  const held = holdRead(store)
  const asked = groupOf('alice')
  await held.begun
  const text = writeSession(sessionOf('alice', 'viewers'))
  store.rows.set(hexOf('alice'), text)
  feed.send('broker_session', `${hexOf('alice')}:${contentTag(text)}`)
  held.release()
  assert.equal(await asked, 'viewers')
  assert.equal(store.state.reads, 2)
})

test('what changed while the feed was away is seen once it is back', async (t) => {
  const { store, feed, sessions, groupOf } = open()
  t.after(() => sessions.close())
  await sessions.put(sessionOf('alice', 'admins'))
  store.rows.set(hexOf('alice'), writeSession(sessionOf('alice', 'viewers'))) // and nobody was told
  assert.equal(await groupOf('alice'), 'admins')
  feed.send('broker_session', undefined)
  await groupOf('alice') // it serves while it is looked up
  await delay(20)
  assert.equal(await groupOf('alice'), 'viewers')
})

test('a session that cannot be confirmed serves for the stated time, and nobody knows of it afterwards', async (t) => {
  const { store, feed, clock, sessions, groupOf } = open()
  t.after(() => sessions.close())
  await sessions.put(sessionOf('alice', 'viewers'))
  store.state.isAway = true
  feed.send('broker_session', undefined)
  clock.advance(30_000)
  assert.equal(await groupOf('alice'), 'viewers')
  await delay(20)
  clock.advance(251)
  await assert.rejects(groupOf('alice'), { code: 'database.unavailable' })
  store.state.isAway = false
  clock.advance(251)
  assert.equal(await groupOf('alice'), 'viewers')
})

test('what a token showed is believed for a minute', () => {
  let nowMs = 0
  const proofs = createProofs(() => nowMs)
  const kept = proofs.keep({ clientId: 'c', username: 'token' }, 'token', sessionOf('alice', 'a'))
  nowMs = 59_999
  assert.equal(proofs.find({ clientId: 'c', username: 'token' }, 'token'), kept)
  assert.equal(proofs.find({ clientId: 'd', username: 'token' }, 'token'), undefined)
  nowMs = 60_000
  assert.equal(proofs.find({ clientId: 'c', username: 'token' }, 'token'), undefined)
})

test('a row that is none is refused by itself: the others of its statement are answered', async (t) => {
  const { store, sessions, groupOf } = open()
  t.after(() => sessions.close())
  store.rows.set(hexOf('broken'), '{')
  store.rows.set(hexOf('alice'), writeSession(sessionOf('alice', 'viewers')))
  const [broken, alice] = await Promise.allSettled([groupOf('broken'), groupOf('alice')])
  assert.equal(broken.status, 'rejected')
  assert.deepEqual(alice, { status: 'fulfilled', value: 'viewers' })
  store.rows.set(hexOf('broken'), writeSession(sessionOf('broken', 'mended')))
  assert.equal(await groupOf('broken'), 'mended')
})

test('a login waits for its row no longer than it is told', async (t) => {
  const store = memoryStore()
  const written = Promise.withResolvers<void>()
  store.save = () => written.promise
  const { sessions } = open(store)
  t.after(() => sessions.close())
  const tookMs: number[] = []
  for (let i = 0; i < 5; i++) {
    const start = performance.now()
    await sessions.put(sessionOf(`user-${i}`, 'a'), 0)
    tookMs.push(performance.now() - start)
  }
  assert.ok(Math.min(...tookMs) < 60, `${tookMs.join()} ms; without a limit it is 100`)
  written.resolve()
})

test('sessions that waited while the database was away are all written at the end', async () => {
  const { store, sessions } = open()
  store.state.isAway = true
  for (let i = 0; i < 1_200; i++) await sessions.put(sessionOf(`user-${i}`, 'a'))
  store.state.isAway = false
  await sessions.close()
  assert.equal(store.rows.size, 1_200)
})

test('what waits for a database that is away is no more than what memory holds', async () => {
  const { store, sessions } = open(memoryStore(), { max: 100 })
  store.state.isAway = true
  await sessions.put(sessionOf('first', 'a'))
  for (let i = 0; i < 1_000; i++) await sessions.put(sessionOf(`user-${i}`, 'a'))
  assert.equal(sessions.size, 100)
  store.state.isAway = false
  await sessions.close()
  assert.ok(store.rows.size <= 101, `${store.rows.size} rows`)
})

test('a session that comes back while its row was to be deleted stays', async () => {
  const store = memoryStore()
  const writes = createWriteBehind({ store, clock: testClock(), log: silentLog, announce: async () => {} })
  const session = writeSession(sessionOf('alice', 'a'))
  const key = sessionKey(place, 'alice', 'c')
  const row = { key, userKey: key, ownerKey: key, session, expiresAt: null }
  await writes.save(row, 'tag')
  const failing = Promise.withResolvers<void>()
  const remove = store.remove
  store.remove = () => {
    store.remove = remove
    return failing.promise
  }
  writes.remove(key)
  await delay(1) // the deletion is under way
  const saved = writes.save(row, 'tag')
  failing.reject(new AppError('database.unavailable', 'The database is not available.'))
  await saved
  await writes.close()
  assert.equal(store.rows.get(key.toString('hex')), session)
})

test('guesses at names of any length take little memory', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const failures = createFailedLogins(100, () => 0)
  collect()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 1_000; i++) {
    const name = Buffer.from(`${i}`.padEnd(65_000, 'x')).toString('latin1')
    failures.refused(name, 'c', false, 'unknown-user')
  }
  collect()
  const grownMiB = (process.memoryUsage().heapUsed - before) / 1024 / 1024
  assert.ok(grownMiB < 16, `${grownMiB.toFixed(1)} MiB for a thousand names`)
  const last = Buffer.from('999'.padEnd(65_000, 'x')).toString('latin1')
  for (let i = 0; i < 99; i++) failures.refused(last, 'c', false, 'unknown-user')
  assert.ok(!failures.mayTry(last, 'c', false), 'and are counted')
})
