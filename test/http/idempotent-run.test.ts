import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { unwatched } from '#src/core/crash-points.ts'
import { AppError } from '#src/core/errors.ts'
import { silentLog } from '#src/core/log.ts'
import { type IdempotentRun, runOnce } from '#src/http/idempotent-run.ts'
import type { Recalled } from '#src/http/operation.ts'
import type { Claim } from '#src/idempotency/idempotency.ts'

interface Calls {
  finished: unknown[]
  forgotten: number
  givenBack?: [from: string, to: string][]
}

/** A store that is away as soon as the run has been claimed, where `away` says so. */
function storeWith(calls: Calls, away: boolean) {
  const fail = async () => {
    throw new AppError('database.unavailable', 'The database does not answer.')
  }
  return {
    clock: systemClock,
    log: silentLog,
    reached: unwatched,
    idempotency: {
      claim: async () => ({ state: 'claimed' as const }),
      finish: away
        ? fail
        : async (_scope: unknown, _messageId: string, answer: unknown) => void calls.finished.push(answer),
      forget: away ? fail : async () => void calls.forgotten++,
      takeOver: async () => true,
      giveBack: async (_scope: unknown, messageId: string, to: string) => void calls.givenBack?.push([messageId, to]),
      holds: async () => true,
      sweep: async () => 0,
    },
  }
}

const runOf = (execute: IdempotentRun['execute']) =>
  ({
    key: 'k',
    fingerprint: new Uint8Array(48),
    enveloped: true,
    request: { principal: { tenantId: 't', keyId: 'k' }, caller: { requestId: 'r' }, deadlineMs: 0, messageId: 'm' },
    execute,
  }) as unknown as IdempotentRun

const answer = { data: { outcome: 'acknowledged' } }
const throwing = (code: ConstructorParameters<typeof AppError>[0]) => async () => {
  throw new AppError(code, code)
}

for (const away of [false, true]) {
  const where = away ? 'with the store away' : 'with the store there'
  test(`what was acknowledged is answered, ${where}`, async () => {
    const calls = { finished: [], forgotten: 0 }
    assert.equal(
      await runOnce(
        storeWith(calls, away),
        runOf(async () => answer),
      ),
      answer,
    )
    assert.equal(calls.finished.length, away ? 0 : 1)
  })
  for (const code of ['outcome.unknown', 'policy.denied', 'broker.unreachable'] as const) {
    test(`${code} is answered as itself, ${where}`, async () => {
      await assert.rejects(runOnce(storeWith({ finished: [], forgotten: 0 }, away), runOf(throwing(code))), { code })
    })
  }
}

const settled = [
  { code: 'policy.denied', forgotten: 1, finished: 0 },
  { code: 'broker.unreachable', forgotten: 1, finished: 0 },
  { code: 'outcome.unknown', forgotten: 0, finished: 1 },
  { code: 'audit.unavailable', forgotten: 1, finished: 0 },
  { code: 'internal', forgotten: 0, finished: 0 },
] as const
for (const { code, forgotten, finished } of settled) {
  const what = forgotten
    ? 'frees the key'
    : finished
      ? 'keeps that nobody knows'
      : 'leaves the claim to end as interrupted'
  test(`${code} ${what}`, async () => {
    const calls: Calls = { finished: [], forgotten: 0 }
    await assert.rejects(runOnce(storeWith(calls, false), runOf(throwing(code))), { code })
    assert.deepEqual([calls.forgotten, calls.finished.length], [forgotten, finished])
  })
}

type Earlier = 'running' | 'interrupted' | 'unknown'
const claims = {
  running: { state: 'running', messageId: 'first', leftMs: 1_500 },
  interrupted: { state: 'interrupted', messageId: 'first' },
  unknown: { state: 'replay', messageId: 'first', answer: { unknown: true } },
} as const satisfies Record<Earlier, Claim>

/** What a retry meets, by what the key says and what the record says. */
const earlier: readonly { key: Earlier; record: Recalled<unknown> | 'away' | 'none'; is: string; kept?: true }[] = [
  { key: 'running', record: answer, is: 'replay' },
  { key: 'running', record: 'nothing', is: 'idempotency.running' },
  { key: 'running', record: 'unknown', is: 'idempotency.running' },
  { key: 'running', record: 'away', is: 'idempotency.running' },
  { key: 'interrupted', record: answer, is: 'replay', kept: true },
  { key: 'interrupted', record: 'nothing', is: 'runs', kept: true },
  { key: 'interrupted', record: 'unknown', is: 'outcome.unknown' },
  { key: 'interrupted', record: 'away', is: 'outcome.unknown' },
  { key: 'interrupted', record: 'none', is: 'outcome.unknown' },
  { key: 'unknown', record: answer, is: 'replay' },
  { key: 'unknown', record: 'nothing', is: 'outcome.unknown' },
  { key: 'unknown', record: 'unknown', is: 'outcome.unknown' },
  { key: 'unknown', record: new AppError('broker.rejected', 'late'), is: 'broker.rejected' },
]
for (const { key, record, is, kept = false } of earlier) {
  const said = record instanceof AppError ? record.code : typeof record === 'object' ? 'an answer' : record
  test(`an earlier run is ${key}, its record says ${said}: ${is}`, async () => {
    const calls: Calls = { finished: [], forgotten: 0 }
    const parts = storeWith(calls, false)
    const recall = async (_request: unknown, messageId: string) => {
      assert.equal(messageId, 'first')
      if (record === 'away') throw new AppError('database.unavailable', 'away')
      return record as Recalled<unknown>
    }
    const run = { ...runOf(async () => ({ data: { outcome: 'sent' } })), ...(record !== 'none' && { recall }) }
    const idempotency = { ...parts.idempotency, claim: async () => claims[key] }
    const became = await runOnce({ ...parts, idempotency }, run).then(
      ({ headers }) => (headers?.['idempotency-replayed'] === 'true' ? 'replay' : 'runs'),
      (err: AppError) => {
        if (is !== 'broker.rejected') {
          const ask = record === 'none' ? {} : { ask: '/api/v2/proxy/messages/first' }
          assert.deepEqual(err.details, { message_id: 'first', ...ask })
        }
        return err.code
      },
    )
    assert.equal(became, is)
    assert.deepEqual([calls.finished.length, calls.forgotten], [kept ? 1 : 0, 0])
  })
}

test('of two that would take an interrupted run over, the other one is told that it runs', async () => {
  const parts = storeWith({ finished: [], forgotten: 0 }, false)
  const idempotency = { ...parts.idempotency, claim: async () => claims.interrupted, takeOver: async () => false }
  const run = { ...runOf(async () => assert.fail('it must not run')), recall: async () => 'nothing' as const }
  await assert.rejects(runOnce({ ...parts, idempotency }, run), { code: 'idempotency.running', retryAfterS: 1 })
})

for (const then of ['unknown', 'away', answer] as const) {
  const said = typeof then === 'string' ? then : 'an answer'
  test(`an earlier run goes on just when it is taken over, and its record then says ${said}: unknown, and the key is given back`, async () => {
    const calls: Calls = { finished: [], forgotten: 0, givenBack: [] }
    const parts = storeWith(calls, false)
    const idempotency = { ...parts.idempotency, claim: async () => claims.interrupted }
    let asked = 0
    const recall = async (): Promise<Recalled<unknown>> => {
      if (++asked === 1) return 'nothing'
      if (then === 'away') throw new AppError('database.unavailable', 'away')
      return then
    }
    const run = { ...runOf(async () => assert.fail('it must not run')), recall }
    await assert.rejects(runOnce({ ...parts, idempotency }, run), {
      code: 'outcome.unknown',
      details: { message_id: 'first', ask: '/api/v2/proxy/messages/first' },
    })
    assert.deepEqual([asked, calls.givenBack], [2, [['m', 'first']]])
  })
}

const before = [
  { holds: async () => true, becomes: 'sends' },
  { holds: async () => false, becomes: 'idempotency.running' },
  { holds: () => new Promise<boolean>(() => {}), becomes: 'database.unavailable' },
  {
    holds: async () => {
      throw new AppError('database.unavailable', 'away')
    },
    becomes: 'database.unavailable',
  },
] as const
for (const [i, { holds, becomes }] of before.entries()) {
  test(`before it sends, a run asks whether its key is its own (${i}): ${becomes}`, async () => {
    const calls: Calls = { finished: [], forgotten: 0 }
    const parts = storeWith(calls, false)
    let sent = 0
    const execute: IdempotentRun['execute'] = async ({ beforeSending }) => {
      await beforeSending?.()
      sent++
      return answer
    }
    const ends = runOnce({ ...parts, idempotency: { ...parts.idempotency, holds } }, runOf(execute))
    if (becomes === 'sends') assert.equal(await ends, answer)
    else await assert.rejects(ends, { code: becomes })
    assert.equal(sent, becomes === 'sends' ? 1 : 0)
  })
}
