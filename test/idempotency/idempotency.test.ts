import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import type { Db } from '#src/db/db.ts'
import { createIdempotency } from '#src/idempotency/idempotency.ts'
import { testDatabase } from '#test/support/database.ts'

describe('idempotency', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let db: Db
  before(async () => {
    database = await testDatabase()
    db = database.db
  })
  after(() => database.drop())

  const START = Date.parse('2026-11-03T12:00:00Z')
  const HOUR_MS = 3_600_000
  const fingerprint = new Uint8Array(48).fill(1)

  function parts() {
    const clock = { nowMs: START, now: () => clock.nowMs, monotonic: () => clock.nowMs }
    const scope = { tenantId: newId('ten'), apiKeyId: newId('key'), key: 'order-17' }
    const first = { messageId: 'msg_first', deadlineAt: new Date(START + 10_000) }
    return { clock, scope, first, store: createIdempotency({ db, clock }) }
  }
  const isError = (code: ErrorCode) => (err: unknown) => err instanceof AppError && err.code === code

  test('a key is claimed, runs, and is replayed with what was stored', async () => {
    const { scope, first, store, clock } = parts()
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'claimed' })

    clock.nowMs += 2_500
    await assert.rejects(store.claim(scope, fingerprint, { ...first, messageId: 'msg_second' }), (err) => {
      assert.ok(isError('idempotency.running')(err))
      assert.equal((err as AppError).retryAfterS, 8)
      return true
    })

    const answer = { status: 200, result: { outcome: 'acknowledged', list: [1, null, 'ä\u0000'], id: 'a', at: 1.0 } }
    await store.finish(scope, answer)
    for (const laterMs of [0, 10_000, 23 * HOUR_MS]) {
      clock.nowMs = START + laterMs
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
    const claims = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => store.claim(scope, fingerprint, { ...first, messageId: `msg_${i}` })),
    )
    const won = claims.filter((claim) => claim.status === 'fulfilled')
    const lost = claims.filter((claim) => claim.status === 'rejected')
    assert.equal(won.length, 1)
    assert.deepEqual(won[0]?.value, { state: 'claimed' })
    assert.equal(lost.length, 49)
    for (const claim of lost) assert.ok(isError('idempotency.running')(claim.reason))
  })

  test('50 claims at once of a key that has expired: exactly one takes its place', async () => {
    const { scope, first, store, clock } = parts()
    await store.claim(scope, fingerprint, first)
    await store.finish(scope, { old: true })
    clock.nowMs = START + 24 * HOUR_MS
    const again = { messageId: 'msg_again', deadlineAt: new Date(clock.nowMs + 10_000) }
    const claims = await Promise.allSettled(Array.from({ length: 50 }, () => store.claim(scope, fingerprint, again)))
    assert.equal(claims.filter((claim) => claim.status === 'fulfilled' && claim.value.state === 'claimed').length, 1)
    assert.equal(
      claims.filter((claim) => claim.status === 'rejected' && isError('idempotency.running')(claim.reason)).length,
      49,
    )
  })

  test('another request under the same key is refused, while it runs and when it is done; the same request is not', async () => {
    const { scope, first, store } = parts()
    const other = fingerprint.with(47, 2)
    await store.claim(scope, fingerprint, first)
    await assert.rejects(store.claim(scope, other, first), isError('idempotency.mismatch'))
    await assert.rejects(store.claim(scope, fingerprint, first), isError('idempotency.running'))
    await store.finish(scope, {})
    await assert.rejects(store.claim(scope, other, first), isError('idempotency.mismatch'))
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('one that still runs at its deadline was interrupted: same message id, and it never runs again', async () => {
    const { scope, first, store, clock } = parts()
    await store.claim(scope, fingerprint, first)
    clock.nowMs = START + 9_999
    await assert.rejects(store.claim(scope, fingerprint, first), isError('idempotency.running'))
    for (const laterMs of [10_000, 60_000, 23 * HOUR_MS]) {
      clock.nowMs = START + laterMs
      const retry = await store.claim(scope, fingerprint, {
        messageId: 'msg_retry',
        deadlineAt: new Date(clock.nowMs + 1),
      })
      assert.deepEqual(retry, { state: 'interrupted', messageId: 'msg_first' })
    }
    await store.finish(scope, { late: true })
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('a forgotten claim may be made again; a finished one is not forgotten', async () => {
    const { scope, first, store } = parts()
    await store.claim(scope, fingerprint, first)
    await store.forget(scope)
    assert.deepEqual(await store.claim(scope, fingerprint, first), { state: 'claimed' })
    await store.finish(scope, 1)
    await store.forget(scope)
    assert.equal((await store.claim(scope, fingerprint, first)).state, 'replay')
  })

  test('a stored answer is not overwritten', async () => {
    const { scope, first, store } = parts()
    await store.claim(scope, fingerprint, first)
    await store.finish(scope, 'first')
    await store.finish(scope, 'second')
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
      await assert.rejects(store.claim(scope, fingerprint, first), isError('idempotency.running'))
      await store.forget({ ...scope, [other]: 'other' })
    })
  }

  test('an answer of 256 KiB is kept, one byte more is not', async () => {
    const { scope, first, store } = parts()
    const most = 'x'.repeat(256 * 1024 - 2)
    await store.claim(scope, fingerprint, first)
    await assert.rejects(store.finish(scope, `${most}x`), RangeError)
    await store.finish(scope, most)
    assert.deepEqual(await store.claim(scope, fingerprint, first), {
      state: 'replay',
      answer: most,
      messageId: 'msg_first',
    })
  })

  test('sweep deletes what has expired and nothing else', async () => {
    const { scope, first, store, clock } = parts()
    await store.claim(scope, fingerprint, first)
    await store.claim({ ...scope, key: 'done' }, fingerprint, first)
    await store.finish({ ...scope, key: 'done' }, {})
    clock.nowMs = START + HOUR_MS
    await store.claim({ ...scope, key: 'later' }, fingerprint, first)

    const left = async () => {
      const { rows } = await db.query<{ key: string }>(
        'select key from idempotency_keys where tenant_id = $1 order by key',
        [scope.tenantId],
      )
      return rows.map((row) => row.key)
    }
    clock.nowMs = START + 24 * HOUR_MS - 1
    await store.sweep()
    assert.deepEqual(await left(), ['done', 'later', 'order-17'])
    clock.nowMs += 1
    assert.ok((await store.sweep()) >= 2)
    assert.deepEqual(await left(), ['later'])
  })
})
