import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '#src/broker-auth/session.ts'
import { createSessionStore } from '#src/broker-auth/session-store.ts'
import { createSessions } from '#src/broker-auth/sessions.ts'
import { systemClock } from '#src/core/clock.ts'
import { silentLog } from '#src/core/log.ts'
import { createChangeFeed } from '#src/db/change-feed.ts'
import { testDatabase } from '../support/database.ts'

const place = { hook: 'default', tenantId: 'ten_1' }
const session = (username: string, group: string): Session => ({
  username,
  clientId: 'c\u0000"\\',
  identity: { username, groups: [group], claims: { text: 'a\u0000b\ud83d\ude00' } },
  provider: 'idp',
  grant: 'g',
})

test('two processes share sessions through PostgreSQL: one that is replaced is forgotten by the other, a batch at once', async (t) => {
  const database = await testDatabase()
  const open = async () => {
    const feed = await createChangeFeed(database.connection)
    const limits = { max: 10_000, maxPerUser: 10, idleMs: 3_600_000, staleMs: 30_000 }
    const store = createSessionStore(database.db, place)
    return { feed, sessions: createSessions({ place, store, feed, limits, clock: systemClock, log: silentLog }) }
  }
  const [a, b] = [await open(), await open()]
  t.after(async () => {
    for (const { sessions, feed } of [a, b]) {
      await sessions.close()
      await feed.close()
    }
    await database.drop()
  })
  const names = Array.from({ length: 700 }, (_, i) => `user-${i}`)
  const groupsAt = async ({ sessions }: typeof a) => {
    const found = await Promise.all(names.map(async (name) => (await sessions.find(name, 'c\u0000"\\'))?.session))
    return new Set(found.map((one) => one?.identity.groups?.[0]))
  }
  async function becomes(replica: typeof a, group: string): Promise<void> {
    const start = performance.now()
    while (true) {
      const groups = await groupsAt(replica)
      if (groups.size === 1 && groups.has(group)) return
      assert.ok(performance.now() - start < 10_000, [...groups].join())
      await delay(20)
    }
  }
  await Promise.all(names.map((name) => a.sessions.put(session(name, 'first'))))
  await becomes(b, 'first')
  const found = await b.sessions.find('user-0', 'c\u0000"\\')
  assert.deepEqual(found?.session, session('user-0', 'first'), 'as it was written, whatever characters it has')
  await Promise.all(names.map((name) => b.sessions.put(session(name, 'second'))))
  await becomes(a, 'second')
  await Promise.all(names.map((name) => a.sessions.put(session(name, 'second'))))
  assert.deepEqual(await groupsAt(b), new Set(['second']))
  assert.equal((await a.sessions.ofUser('user-5'))?.length, 1)
})
