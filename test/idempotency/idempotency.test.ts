import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import type { Db } from '#src/db/db.ts'
import { type Claim, createIdempotency } from '#src/idempotency/idempotency.ts'
import { testDatabase } from '#test/support/database.ts'

describe('idempotency', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  const HOUR_MS = 3_600_000
  const fingerprint = new Uint8Array(48).fill(1)

  function parts() {
    const scope = { tenantId: newId('ten'), apiKeyId: newId('key'), key: 'order-17' }
    const first = { messageId: 'msg_first', leftMs: 10_000 }
    /** Lets time go by for the keys of this test: all of it is judged by the clock of the database. */
    const elapse = (ms: number) =>
      db.query(
        `update idempotency_keys set deadline_at = deadline_at - $2::float8 * interval '1 ms',
           expires_at = expires_at - $2::float8 * interval '1 ms' where tenant_id = $1`,
        [scope.tenantId, ms],
      )
    return { scope, first, elapse, store: createIdempotency({ db }) }
  }
  const isError = (code: ErrorCode) => (err: unknown) => err instanceof AppError && err.code === code

  function assertOneWon(claims: readonly Claim[]): void {
    const states = Map.groupBy(claims, ({ state }) => state)
    assert.equal(states.get('claimed')?.length, 1)
    assert.equal(states.get('running')?.length, claims.length - 1)
  }

  test('a key is claimed, runs, and is replayed with what was stored', async () => {
    const { scope, first, store, elapse } = parts()
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'claimed' })

    await elapse(2_500)
    const second = await store.claim(scope, fingerprint, { ...first, messageId: 'msg_second' })
    assert.ok(second.state === 'running' && second.messageId === 'msg_first')
    assert.ok(second.leftMs > 0 && second.leftMs <= 7_500, `${second.leftMs}`)

    const answer = { status: 200, result: { outcome: 'acknowledged', list: [1, null, 'ä\u0000'], id: 'a', at: 1.0 } }
    await store.finish(scope, 'msg_first', answer)
    for (const laterMs of [0, 10_000, 23 * HOUR_MS]) {
      await elapse(laterMs)
      const claim = await store.claim(scope, fingerprint, { ...first, messageId: 'msg_third' })
      assert.deepEqual(claim, { state: 'replay', answer, messageId: 'msg_first' })
      assert.equal(
        claim.state === 'replay' && JSON.stringify(claim.answer),
        JSON.stringify(answer),
        'in the same order',
      )
    }
  })

  test('50 claims at once: exactly one runs, the others are told so', async () => {
    const { scope, first, store } = parts()
    const claims = await Promise.all(
      Array.from({ length: 50 }, (_, i) => store.claim(scope, fingerprint, { ...first, messageId: `msg_${i}` })),
    )
    assertOneWon(claims)
    assert.equal(new Set(claims.map((claim) => claim.state !== 'claimed' && claim.messageId)).size, 2)
  })

  test('50 claims at once of a key that has expired: exactly one takes its place', async () => {
    const { scope, first, store, elapse } = parts()
    await store.claim(scope, fingerprint, first)
    await store.finish(scope, 'msg_first', { old: true })
    await elapse(24 * HOUR_MS)
    const again = { messageId: 'msg_again', leftMs: 10_000 }
    assertOneWon(await Promise.all(Array.from({ length: 50 }, () => store.claim(scope, fingerprint, again))))
  })

  test('another request under the same key is refused, while it runs and when it is done; the same request is not', async () => {
    const { scope, first, store } = parts()
    const other = fingerprint.with(47, 2)
    await store.claim(scope, fingerprint, first)
    await assert.rejects(store.claim(scope, other, first), isError('idempotency.mismatch'))
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'running')
    await store.finish(scope, 'msg_first', {})
    await assert.rejects(store.claim(scope, other, first), isError('idempotency.mismatch'))
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('one that still runs at its deadline was interrupted: same message id, and no claim runs it again', async () => {
    const { scope, first, store, elapse } = parts()
    const retry = { messageId: 'msg_retry', leftMs: 1 }
    await store.claim(scope, fingerprint, { ...first, leftMs: 60_000 })
    await elapse(30_000)
    assert.equal((await store.claim(scope, fingerprint, retry)).state, 'running')
    for (const laterMs of [30_000, 60_000, 22 * HOUR_MS]) {
      await elapse(laterMs)
      assert.deepEqual(await store.claim(scope, fingerprint, retry), { state: 'interrupted', messageId: 'msg_first' })
    }
    await store.finish(scope, 'msg_first', { late: true })
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('a claim that would last longer than any may is over: the clock of the database has gone back', async () => {
    const { scope, first, store, elapse } = parts()
    const retry = { messageId: 'msg_retry', leftMs: 10_000 }
    await store.claim(scope, fingerprint, { ...first, leftMs: 60_000 })
    assert.equal((await store.claim(scope, fingerprint, retry)).state, 'running')
    assert.equal(await store.takeOver(scope, 'msg_first', retry), false)
    await elapse(-HOUR_MS)
    assert.deepEqual(await store.claim(scope, fingerprint, retry), { state: 'interrupted', messageId: 'msg_first' })
    assert.equal(await store.takeOver(scope, 'msg_first', retry), true)
  })

  test('an interrupted run is taken over by exactly one of fifty, and can then neither keep nor forget anything', async () => {
    const { scope, first, store, elapse } = parts()
    await store.claim(scope, fingerprint, first)
    const runOf = (i: number) => ({ messageId: `msg_${i}`, leftMs: 10_000 })
    assert.equal(await store.takeOver(scope, 'msg_first', runOf(0)), false, 'it is within its deadline')
    await elapse(10_000)
    const won = await Promise.all(Array.from({ length: 50 }, (_, i) => store.takeOver(scope, 'msg_first', runOf(i))))
    assert.equal(won.filter(Boolean).length, 1)
    const messageId = `msg_${won.indexOf(true)}`
    await store.finish(scope, 'msg_first', { from: 'the run that was interrupted' })
    await store.forget(scope, 'msg_first')
    const now = await store.claim(scope, fingerprint, first)
    assert.ok(now.state === 'running' && now.messageId === messageId)
    await store.finish(scope, messageId, { from: 'the run that took over' })
    const answer = { from: 'the run that took over' }
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'replay', answer, messageId })
    await elapse(60_000)
    assert.equal(await store.takeOver(scope, messageId, runOf(51)), false, 'it has its answer')
  })

  test('a run holds its key until it is kept, forgotten or taken over; given back, it is that of the earlier run again', async () => {
    const { scope, first, store, elapse } = parts()
    assert.equal(await store.holds(scope, 'msg_first'), false)
    await store.claim(scope, fingerprint, first)
    assert.equal(await store.holds(scope, 'msg_first'), true)
    assert.equal(await store.holds({ ...scope, key: 'other' }, 'msg_first'), false)
    await elapse(10_000)
    assert.equal(await store.holds(scope, 'msg_first'), true, 'as long as nobody has taken it over')
    await store.takeOver(scope, 'msg_first', { messageId: 'msg_next', leftMs: 10_000 })
    assert.deepEqual([await store.holds(scope, 'msg_first'), await store.holds(scope, 'msg_next')], [false, true])
    await store.giveBack(scope, 'msg_first', 'msg_next')
    assert.equal(await store.holds(scope, 'msg_next'), true, 'only its own run gives a key back')
    await store.giveBack(scope, 'msg_next', 'msg_first')
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'interrupted', messageId: 'msg_first' })
    await store.finish(scope, 'msg_first', {})
    assert.equal(await store.holds(scope, 'msg_first'), false)
  })

  test('a forgotten claim may be made again; a finished one is not forgotten', async () => {
    const { scope, first, store } = parts()
    await store.claim(scope, fingerprint, first)
    await store.forget(scope, 'msg_first')
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'claimed' })
    await store.finish(scope, 'msg_first', 1)
    await store.forget(scope, 'msg_first')
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('a stored answer is not overwritten', async () => {
    const { scope, first, store } = parts()
    await store.claim(scope, fingerprint, first)
    await store.finish(scope, 'msg_first', 'first')
    await store.finish(scope, 'msg_first', 'second')
    assert.deepEqual(await store.claim(scope, fingerprint, first), {
      state: 'replay',
      answer: 'first',
      messageId: 'msg_first',
    })
  })

  for (const other of ['tenantId', 'apiKeyId', 'key'] as const) {
    test(`the same key under another ${other} is another key`, async () => {
      const { scope, first, store } = parts()
      await store.claim(scope, fingerprint, first)
      assert.deepEqual(await store.claim({ ...scope, [other]: 'other' }, fingerprint, first), { state: 'claimed' })
      assert.equal((await store.claim(scope, fingerprint, first)).state, 'running')
      await store.forget({ ...scope, [other]: 'other' }, 'msg_first')
    })
  }

  test('an answer of 2 MiB is kept, one byte more is not', async () => {
    const { scope, first, store } = parts()
    const most = 'x'.repeat(2 * 1024 * 1024 - 2)
    await store.claim(scope, fingerprint, first)
    await assert.rejects(store.finish(scope, 'msg_first', `${most}x`), RangeError)
    await store.finish(scope, 'msg_first', most)
    assert.deepEqual(await store.claim(scope, fingerprint, first), {
      state: 'replay',
      answer: most,
      messageId: 'msg_first',
    })
  })

  test('sweep deletes what has expired and nothing else', async () => {
    const { scope, first, store, elapse } = parts()
    await store.claim(scope, fingerprint, first)
    await store.claim({ ...scope, key: 'done' }, fingerprint, first)
    await store.finish({ ...scope, key: 'done' }, 'msg_first', {})
    await elapse(HOUR_MS)
    await store.claim({ ...scope, key: 'later' }, fingerprint, first)

    const left = async () => {
      const { rows } = await db.query<{ key: string }>(
        'select key from idempotency_keys where tenant_id = $1 order by key',
        [scope.tenantId],
      )
      return rows.map((row) => row.key)
    }
    await elapse(22 * HOUR_MS)
    await store.sweep()
    assert.deepEqual(await left(), ['done', 'later', 'order-17'])
    await elapse(HOUR_MS)
    assert.ok((await store.sweep()) >= 2)
    assert.deepEqual(await left(), ['later'])
  })

  test('one sweep deletes as many as a busy server leaves between two: it must not fall behind', async () => {
    const { scope, store } = parts()
    await db.query(
      `insert into idempotency_keys
         (tenant_id, api_key_id, key, fingerprint, state, message_id, deadline_at, created_at, expires_at)
       select $1, $2, 'k' || n, $3, 'done', 'msg', now(), now(), now() from generate_series(1, 12345) n`,
      [scope.tenantId, scope.apiKeyId, fingerprint],
    )
    assert.ok((await store.sweep()) >= 12_345)
    const { rowCount } = await db.query('select from idempotency_keys where tenant_id = $1', [scope.tenantId])
    assert.equal(rowCount, 0)
  })
})
