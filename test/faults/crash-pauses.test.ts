import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type CrashBench, type Reply, startCrashBench } from '#test/support/crash-bench.ts'
import type { CrashServer } from '#test/support/crash-server.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

const FOR_MS = 6_000
const WORKERS = 6
const CALLERS = 3
const TRIES = 2

let database: TestDatabase
let bench: CrashBench
let servers: CrashServer[]
before(async () => {
  database = await testDatabase()
  bench = await startCrashBench(database.url)
  servers = [await bench.start(), await bench.start()]
})
after(async () => {
  await bench?.close()
  await database.drop()
})

/** Of all runs, as if a minute had gone by on the clock of the database and nowhere else. */
async function expireAll(): Promise<void> {
  await bench.db.query(
    `update idempotency_keys set deadline_at = deadline_at - interval '1 minute' where state = 'running'`,
  )
}

/** Pauses one server after the other, and lets every claim end before it goes on; returns how often. */
async function pauseUntil(endMs: number): Promise<number> {
  let pauses = 0
  for (; performance.now() < endMs; pauses++) {
    const server = servers[pauses % servers.length] as CrashServer
    server.kill('SIGSTOP')
    await expireAll()
    await delay(20 + Math.random() * 200)
    await expireAll()
    server.kill('SIGCONT')
    await delay(Math.random() * 60)
  }
  return pauses
}

/** Some callers at once, each at one server and then at the other. */
async function publishEverywhere(key: string): Promise<Reply[]> {
  const callers = Array.from({ length: CALLERS }, async (_, caller) => {
    const replies: Reply[] = []
    await delay(Math.random() * 60)
    for (let i = 0; i < TRIES; i++) {
      replies.push(await bench.publish((servers[(caller + i) % servers.length] as CrashServer).url, key))
    }
    return replies
  })
  return (await Promise.all(callers)).flat()
}

test('two servers, paused and taken for dead at any moment: no key sends twice, and every answer names the message that was sent', async () => {
  const replies = new Map<string, readonly Reply[]>()
  const endMs = performance.now() + FOR_MS
  const worker = async (name: number) => {
    for (let i = 0; performance.now() < endMs; i++) {
      const key = `paused-${name}-${i}`
      replies.set(key, await publishEverywhere(key))
    }
  }
  const pausing = pauseUntil(endMs)
  await Promise.all(Array.from({ length: WORKERS }, (_, name) => worker(name)))
  const pauses = await pausing
  await bench.allRead()

  let unsure = 0
  for (const [key, all] of replies) {
    const ids = bench.seen.get(key) ?? []
    const text = `${key} ${JSON.stringify({ ids, all })}`
    assert.ok(ids.length <= 1, `published twice: ${text}`)
    assert.ok(all.filter(({ data }) => data && !data.replayed).length <= 1, `ran twice: ${text}`)
    for (const { status, data, error } of all) {
      if (data) assert.deepEqual([status, data.outcome, ids], [200, 'acknowledged', [data.message_id]], text)
      else assert.ok(error?.code === 'idempotency.running' || error?.code === 'outcome.unknown', text)
      if (error?.code === 'outcome.unknown') unsure++
    }
  }
  assert.ok(
    pauses >= 10 && replies.size >= 10 && unsure > 0,
    `${pauses} pauses, ${replies.size} keys, ${unsure} unknown`,
  )
})
