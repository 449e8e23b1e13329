import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type CrashPoint, crashPoints } from '#src/core/crash-points.ts'
import { type CrashBench, startCrashBench } from '#test/support/crash-bench.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

let database: TestDatabase
let bench: CrashBench
before(async () => {
  database = await testDatabase()
  bench = await startCrashBench(database.url)
})
after(async () => {
  await bench?.close()
  await database.drop()
})

const ITEMS = 5
const textsOf = (key: string) => Array.from({ length: ITEMS }, (_, i) => `${key}-${i}`)
const timesSeen = (key: string) => textsOf(key).map((text) => bench.seen.get(text)?.length ?? 0)

/** Publishes a batch under a key, and gives status, and message id and items of a success or details of a refusal. */
async function publish(url: string, key: string) {
  const payload = { messages: textsOf(key).map((message) => ({ message })) }
  const body = { integration_id: bench.integrationId, operation: 'publish', payload }
  const headers = { 'idempotency-key': key, 'request-deadline-ms': '20000' }
  const { status, json } = await bench.call(url, 'POST', '/api/v2/proxy/outbound', body, headers)
  if (!json.success) return { status, id: json.error.details?.message_id as string, outcomes: [], replayed: false }
  const target = '/api/v2/encryption/decrypt'
  const opened = await bench.call(bench.survivor.url, 'POST', target, { envelope: json.data })
  const { message_id: id, items, replayed = false } = opened.json.data.plaintext.data
  return { status, id: id as string, outcomes: items.map(({ outcome }: { outcome: string }) => outcome), replayed }
}

const acknowledged = Array(ITEMS).fill('acknowledged')

/** Whether anything may have left by then. Of what was recorded and not kept, the rows do not say enough for an answer. */
function afterCrash(step: CrashPoint): 'runs' | 'unknown' | 'replay' {
  const place = crashPoints.indexOf(step)
  if (place < crashPoints.indexOf('intended')) return 'runs'
  return place < crashPoints.indexOf('kept') ? 'unknown' : 'replay'
}

for (const step of crashPoints) {
  test(`killed at "${step}" of a batch: a retry ${afterCrash(step)}, and no item is sent twice`, async () => {
    const key = `batch-${step}`
    const server = await bench.start({ CRASH_AT: `${step}:1` })
    await assert.rejects(publish(server.url, key), TypeError)
    assert.equal(await server.ended, 'SIGKILL')
    await bench.allRead()
    const sent = timesSeen(key)
    if (afterCrash(step) === 'runs') assert.deepEqual(sent, Array(ITEMS).fill(0))
    if (afterCrash(step) === 'replay') assert.deepEqual(sent, Array(ITEMS).fill(1))

    await bench.expireClaims([key])
    const retry = await publish(bench.survivor.url, key)
    const again = await publish(bench.survivor.url, key)
    assert.equal(again.id, retry.id)
    if (afterCrash(step) === 'unknown') {
      assert.deepEqual([retry.status, again.status], [504, 504])
      assert.deepEqual(timesSeen(key), sent, 'nothing is sent after it')
    } else {
      assert.deepEqual([retry.status, retry.outcomes], [200, acknowledged])
      assert.deepEqual([retry.replayed, again.replayed], [afterCrash(step) === 'replay', true])
      assert.deepEqual(timesSeen(key), Array(ITEMS).fill(1))
    }
    for (const [i, text] of textsOf(key).entries()) {
      const ids = bench.seen.get(text) ?? []
      if (ids.length > 0) assert.deepEqual(ids, [`${retry.id}.${i}`])
    }
  })
}

test('paused before a batch, and taken for dead within its deadline: no item is sent twice', async () => {
  const key = 'batch-jumped'
  const paused = await bench.start({ CRASH_AT: 'admitted:1', CRASH_SIGNAL: 'SIGSTOP' })
  const slow = publish(paused.url, key)
  const isClaimed = async () => (await bench.db.query(`select from idempotency_keys where key = $1`, [key])).rowCount
  for (let left = 200; left > 0 && !(await isClaimed()); left--) await delay(50)
  await bench.expireClaims([key])
  const retry = await publish(bench.survivor.url, key)
  paused.kill('SIGCONT')
  const { status, outcomes } = await slow
  await bench.allRead()
  assert.deepEqual([retry.status, retry.replayed, retry.outcomes], [200, false, acknowledged])
  assert.deepEqual([status, outcomes], [409, []])
  assert.deepEqual(timesSeen(key), Array(ITEMS).fill(1))
})

test('killed in the middle of a batch: the sweeper closes it as unknown, and so is every item', async () => {
  const key = 'batch-middle'
  const held = bench.hold(`${key}-3`)
  const server = await bench.start()
  const cut = assert.rejects(publish(server.url, key), TypeError)
  await held
  server.kill('SIGKILL')
  await cut
  await bench.allRead()
  await bench.expireClaims([key])
  const retry = await publish(bench.survivor.url, key)
  assert.equal(retry.status, 504)
  assert.deepEqual(timesSeen(key), Array(ITEMS).fill(1))
  assert.ok((await bench.settleAudit()).has(retry.id))
  for (const id of [retry.id, `${retry.id}.0`, `${retry.id}.3`]) {
    assert.equal((await bench.messageStatus(id)).state, 'unknown', id)
  }
  const { rows } = await bench.db.query<{ outcome: string; actor_id: string }>(
    `select outcome, actor_id from audit_rows where message_id = $1 and action = 'proxy.publish.outcome'`,
    [retry.id],
  )
  assert.deepEqual(rows, [{ outcome: 'unknown', actor_id: 'system' }])
})

test('what was recorded before the crash is told item by item', async () => {
  const { id } = await publish(bench.survivor.url, 'batch-recorded')
  const whole = await bench.messageStatus(id)
  assert.deepEqual([whole.state, whole.items.acknowledged], ['acknowledged', ITEMS])
  assert.equal((await bench.messageStatus(`${id}.${ITEMS - 1}`)).state, 'acknowledged')
})
