import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type CrashBench, startCrashBench } from '#test/support/crash-bench.ts'
import type { CrashServer } from '#test/support/crash-server.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

const QUOTA_EXCEEDED = 0x97
/** A deadline that passes while a test waits, and that a loaded machine still keeps up to PUBLISH. */
const SHORT_MS = 1_000

/** Asks until there is an answer, for what a process does after it has answered; fails after 10 s. */
async function eventually<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  for (let left = 200; left > 0; left--) {
    const found = await ask()
    if (found !== undefined) return found
    await delay(50)
  }
  return assert.fail(`not within 10 s: ${what}`)
}

describe('one Idempotency-Key, two processes over one database', () => {
  let database: TestDatabase
  let bench: CrashBench
  let first: CrashServer
  let second: CrashServer
  before(async () => {
    database = await testDatabase()
    bench = await startCrashBench(database.url)
    first = bench.survivor
    second = await bench.start()
  })
  after(async () => {
    await bench?.close()
    await database.drop()
  })

  const idsSeen = (key: string) => bench.seen.get(key) ?? []
  /** Detail of the outcome row of a message, when there is one. */
  const outcomeOf = async (messageId: string) => {
    const { rows } = await bench.db.query<{ row_bytes: Buffer }>(
      `select row_bytes from audit_rows where message_id = $1 and action = 'proxy.publish.outcome'`,
      [messageId],
    )
    return rows[0] && (JSON.parse(rows[0].row_bytes.toString()) as { outcome: string; detail: Record<string, unknown> })
  }
  /** Lets a fresh server crash at a step of a publish under `key`. */
  const crashAt = async (step: string, key: string, deadlineMs?: number) => {
    const server = await bench.start({ CRASH_AT: `${step}:1` })
    await assert.rejects(bench.publish(server.url, key, deadlineMs), TypeError)
    assert.equal(await server.ended, 'SIGKILL')
    await bench.allRead()
  }

  test('fifty at once, half of them at each: one PUBLISH, one answer that is no replay, the rest wait or repeat it', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => bench.publish((i % 2 ? first : second).url, 'at-once')),
    )
    assert.equal(idsSeen('at-once').length, 1)
    const ran = replies.filter(({ data }) => data && !data.replayed)
    assert.equal(ran.length, 1)
    for (const { status, data, error } of replies) {
      if (data) assert.deepEqual([status, data.outcome, data.message_id], [200, 'acknowledged', idsSeen('at-once')[0]])
      else assert.deepEqual([status, error?.code], [409, 'idempotency.running'])
    }
    for (const { url } of [first, second]) {
      const later = await bench.publish(url, 'at-once')
      assert.deepEqual([later.status, later.data?.replayed], [200, true])
    }
  })

  test('killed after the bytes of PUBLISH left: 409 while it may still run, then unknown for ever, with the id that the broker saw', async () => {
    await crashAt('published', 'cut')
    const [messageId = ''] = idsSeen('cut')
    assert.match(messageId, /^msg_/)
    const ask = `/api/v2/proxy/messages/${messageId}`
    const early = await bench.publish(first.url, 'cut')
    assert.deepEqual([early.status, early.error?.code], [409, 'idempotency.running'])
    assert.deepEqual(early.error?.details, { message_id: messageId, ask })
    const waitS = Number(early.retryAfter)
    assert.ok(waitS >= 1 && waitS <= 60, early.retryAfter ?? 'no Retry-After')
    assert.equal((await bench.messageStatus(messageId)).state, 'in_progress')

    const restarted = await bench.start()
    for (let minutes = 1; minutes <= 3; minutes++) {
      await bench.expireClaims(['cut'])
      for (const { url } of [first, second, restarted]) {
        const retry = await bench.publish(url, 'cut')
        assert.deepEqual([retry.status, retry.error?.code], [504, 'outcome.unknown'])
        assert.deepEqual(retry.error?.details, { message_id: messageId, ask })
      }
    }
    assert.deepEqual(idsSeen('cut'), [messageId], 'nothing was sent again')
    const forced = await bench.publish(first.url, 'cut-again')
    assert.equal(forced.status, 200)
    assert.notEqual(forced.data?.message_id, messageId, 'a new key is a new message')
  })

  test('killed after the acknowledgement was put on record: a retry is answered 200 at once, with the same message id', async () => {
    for (const step of ['recorded', 'kept', 'sealed']) {
      await crashAt(step, `done-${step}`)
      const [messageId] = idsSeen(`done-${step}`)
      for (const { url } of [second, first]) {
        const { status, data } = await bench.publish(url, `done-${step}`)
        assert.deepEqual(
          [status, data?.outcome, data?.replayed, data?.message_id],
          [200, 'acknowledged', true, messageId],
          step,
        )
      }
      assert.equal(idsSeen(`done-${step}`).length, 1, step)
      assert.equal((await outcomeOf(messageId ?? ''))?.outcome, 'success', step)
    }
  })

  test('killed before anything left: the longest claim ends within a minute, and then exactly one of ten retries sends', async () => {
    await crashAt('admitted', 'early', 30_000)
    const { rows } = await bench.db.query<{ left_s: number }>(
      `select extract(epoch from deadline_at - now())::float8 as left_s from idempotency_keys where key = 'early'`,
    )
    const leftS = rows[0]?.left_s ?? 0
    assert.ok(leftS > 30 && leftS <= 60, `${leftS} s`)
    assert.equal((await bench.publish(first.url, 'early', 30_000)).status, 409)
    await bench.expireClaims(['early'])
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, i) => bench.publish((i % 2 ? first : second).url, 'early', 30_000)),
    )
    assert.equal(idsSeen('early').length, 1)
    assert.equal(replies.filter(({ data }) => data && !data.replayed).length, 1)
  })

  test('paused before anything left, until another process has sent it in its place: it sends nothing and keeps nothing when it goes on', async () => {
    const paused = await bench.start({ CRASH_AT: 'admitted:1', CRASH_SIGNAL: 'SIGSTOP' })
    const slow = bench.publish(paused.url, 'paused', SHORT_MS)
    await eventually('the claim', async () => {
      const { rowCount } = await bench.db.query(`select from idempotency_keys where key = 'paused'`)
      return rowCount === 1 ? true : undefined
    })
    await delay(SHORT_MS) // its deadline is over, and nothing of it is on record
    await bench.expireClaims(['paused'])
    const retry = await bench.publish(first.url, 'paused', SHORT_MS)
    assert.deepEqual([retry.status, retry.data?.replayed], [200, undefined])
    paused.kill('SIGCONT')
    const { status } = await slow
    assert.ok(status === 503 || status === 504, `${status}`)
    assert.deepEqual(idsSeen('paused'), [retry.data?.message_id])
    const later = await bench.publish(second.url, 'paused', SHORT_MS)
    assert.deepEqual([later.data?.message_id, later.data?.replayed], [retry.data?.message_id, true])
  })

  for (const step of ['admitted', 'intended']) {
    test(`paused at "${step}" and taken for dead within its deadline, as after a clock that jumped: it is sent at most once`, async () => {
      const key = `jumped-${step}`
      const paused = await bench.start({ CRASH_AT: `${step}:1`, CRASH_SIGNAL: 'SIGSTOP' })
      const slow = bench.publish(paused.url, key)
      await eventually('the claim', async () => {
        const { rowCount } = await bench.db.query(`select from idempotency_keys where key = $1`, [key])
        return rowCount === 1 ? true : undefined
      })
      if (step === 'intended')
        await eventually('the intent', async () => {
          const { rowCount } = await bench.db.query(
            `select from audit_rows a join idempotency_keys k using (message_id)
             where k.key = $1 and a.action = 'proxy.publish.intent'`,
            [key],
          )
          return rowCount === 1 ? true : undefined
        })
      await bench.expireClaims([key])
      const retry = await bench.publish(first.url, key)
      paused.kill('SIGCONT')
      const { status, data, error } = await slow
      await bench.allRead()
      const id = retry.data?.message_id ?? retry.error?.details?.message_id
      assert.deepEqual(idsSeen(key), [id], 'one message, and the one that both callers were told of')
      if (step === 'admitted') {
        assert.deepEqual([retry.status, retry.data?.replayed], [200, undefined], 'nothing was on record')
        assert.deepEqual([status, error?.code], [409, 'idempotency.running'], 'it had lost its key')
      } else {
        assert.deepEqual([retry.status, retry.error?.code], [504, 'outcome.unknown'])
        assert.deepEqual([status, data?.message_id], [200, id])
      }
      const later = await bench.publish(second.url, key)
      assert.deepEqual([later.status, later.data?.message_id, later.data?.replayed], [200, id, true])
    })
  }

  test('the client hangs up while its publish is under way: it is done all the same, the audit says client_gone, a retry is a replay', async () => {
    const arrived = bench.hold('gone')
    const hangUp = new AbortController()
    const sent = fetch(`${first.url}/api/v2/proxy/outbound`, {
      method: 'POST',
      headers: { 'x-api-key': bench.apiKey, 'content-type': 'application/json', 'idempotency-key': 'gone' },
      body: JSON.stringify({ integration_id: bench.integrationId, operation: 'publish', payload: { message: 'gone' } }),
      signal: hangUp.signal,
    })
    const settle = await arrived
    hangUp.abort()
    await assert.rejects(sent, { name: 'AbortError' })
    for (let i = 0; i < 3; i++) await fetch(`${first.url}/health`) // behind the end of that connection
    settle()
    const [messageId = ''] = idsSeen('gone')
    const row = await eventually('the outcome row', () => outcomeOf(messageId))
    assert.equal(row.outcome, 'success')
    assert.deepEqual([row.detail['outcome'], row.detail['client_gone']], ['acknowledged', true])
    const body = { integration_id: bench.integrationId, operation: 'publish', payload: { message: 'gone' } }
    const retry = await eventually('the kept answer', async () => {
      const { status, json } = await bench.call(second.url, 'POST', '/api/v2/proxy/outbound', body, {
        'idempotency-key': 'gone',
      })
      return status === 200 ? json : undefined
    })
    assert.equal(retry.success, true)
    assert.deepEqual(idsSeen('gone'), [messageId])
    const polite = await bench.publish(first.url, 'polite')
    assert.equal((await outcomeOf(polite.data?.message_id ?? ''))?.detail['client_gone'], undefined)
  })

  test('an acknowledgement after the answer: unknown at the deadline, then on record, told by both processes and to a retry', async () => {
    const arrived = bench.hold('late')
    const answer = await bench.publish(first.url, 'late', SHORT_MS)
    const settle = await arrived
    const [messageId = ''] = idsSeen('late')
    assert.deepEqual([answer.status, answer.error?.code], [504, 'outcome.unknown'])
    assert.deepEqual(answer.error?.details, { message_id: messageId, ask: `/api/v2/proxy/messages/${messageId}` })
    const open = await bench.messageStatus(messageId)
    assert.deepEqual([open.state, open.late, open.code], ['unknown', null, 'outcome.unknown'])
    assert.equal((await bench.publish(second.url, 'late', SHORT_MS)).status, 504)
    settle()
    const told = await eventually('the late word', async () => {
      const status = await bench.messageStatus(messageId, second.url)
      return status.late === null ? undefined : status
    })
    assert.deepEqual([told.state, told.late.state, told.reason_code], ['acknowledged', 'acknowledged', 0])
    for (const { url } of [first, second]) {
      const retry = await bench.publish(url, 'late', SHORT_MS)
      assert.deepEqual(
        [retry.status, retry.data?.outcome, retry.data?.message_id, retry.data?.replayed],
        [200, 'acknowledged', messageId, true],
      )
    }
    assert.deepEqual(idsSeen('late'), [messageId])
  })

  test('a refusal after the answer is on record too, and a retry is told that the broker refused', async () => {
    const arrived = bench.hold('late-no')
    assert.equal((await bench.publish(first.url, 'late-no', SHORT_MS)).status, 504)
    const settle = await arrived
    settle(QUOTA_EXCEEDED)
    const [messageId = ''] = idsSeen('late-no')
    const told = await eventually('the late word', async () => {
      const status = await bench.messageStatus(messageId)
      return status.late === null ? undefined : status
    })
    assert.deepEqual([told.state, told.reason_code, told.late.state], ['rejected', QUOTA_EXCEEDED, 'rejected'])
    const retry = await bench.publish(second.url, 'late-no', SHORT_MS)
    assert.deepEqual([retry.status, retry.error?.code], [502, 'broker.rejected'])
    assert.deepEqual(idsSeen('late-no'), [messageId])
  })

  test('all of it is in the audit log, whole and closed', async () => {
    const { rows } = await bench.db.query<{ outcome: string }>(
      `select outcome from audit_rows where action = 'proxy.publish.late' order by seq`,
    )
    assert.deepEqual(
      rows.map(({ outcome }) => outcome),
      ['success', 'failure'],
    )
    await bench.settleAudit()
  })
})
