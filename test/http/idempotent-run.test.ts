import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { silentLog } from '#src/core/log.ts'
import { type IdempotentRun, runOnce } from '#src/http/idempotent-run.ts'

interface Calls {
  finished: unknown[]
  forgotten: number
}

/** A store that is away as soon as the run has been claimed, where `away` says so. */
function storeWith(calls: Calls, away: boolean) {
  const fail = async () => {
    throw new AppError('database.unavailable', 'The database does not answer.')
  }
  return {
    clock: systemClock,
    log: silentLog,
    idempotency: {
      claim: async () => ({ state: 'claimed' as const }),
      finish: away ? fail : async (_scope: unknown, answer: unknown) => void calls.finished.push(answer),
      forget: away ? fail : async () => void calls.forgotten++,
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
