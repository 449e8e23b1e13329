import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createInFlight, type Watched } from '#src/http/in-flight.ts'
import { newProgress, overdueAnswer, type Progress } from '#src/http/overdue.ts'
import { integrationsDelete } from '#src/http/routes/integrations-delete.ts'
import { integrationsGet } from '#src/http/routes/integrations-get.ts'
import { integrationsTest } from '#src/http/routes/integrations-test.ts'
import { proxyOutbound } from '#src/http/routes/proxy-outbound.ts'
import { vaultSeal } from '#src/http/routes/vault-seal.ts'

/** A watched request that counts how often it is told, and takes the `n`th time. */
function requestDue(dueMs: number, takes = 1): Watched & { told: number } {
  const one = {
    dueMs,
    told: 0,
    overdue() {
      one.told++
      return one.told >= takes
    },
  }
  return one
}

test('a request is told once that its time is up, or until it takes it; one that has ended, or is not due, is not', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  const inFlight = createInFlight(() => nowMs)
  const [due, stubborn, later, ended] = [requestDue(100), requestDue(100, 3), requestDue(1_000), requestDue(100)]
  for (const one of [due, stubborn, later]) inFlight.enter(one)
  inFlight.enter(ended)()
  t.mock.timers.tick(50)
  assert.equal(due.told, 0)
  nowMs = 100
  t.mock.timers.tick(200)
  assert.deepEqual([due.told, stubborn.told, later.told, ended.told], [1, 3, 0, 0])
})

test('settled waits for handlers, also for those that were answered in their place', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const inFlight = createInFlight(() => 200)
  await inFlight.settled()
  const one = requestDue(100)
  const leave = inFlight.enter(one)
  t.mock.timers.tick(50)
  assert.equal(one.told, 1)
  let isSettled = false
  const settled = inFlight.settled().then(() => {
    isSettled = true
  })
  await new Promise(setImmediate)
  assert.equal(isSettled, false)
  leave()
  await settled
})

const cases: { why: string; operation: Parameters<typeof overdueAnswer>[0]; so: Partial<Progress>; code: string }[] = [
  { why: 'a publish that was not begun', operation: proxyOutbound, so: {}, code: 'database.unavailable' },
  {
    why: 'a publish before its admission',
    operation: proxyOutbound,
    so: { hasBegun: true },
    code: 'database.unavailable',
  },
  {
    why: 'a publish after it',
    operation: proxyOutbound,
    so: { hasBegun: true, isAdmitted: true },
    code: 'outcome.unknown',
  },
  { why: 'a change that was not begun', operation: vaultSeal, so: {}, code: 'database.unavailable' },
  { why: 'a change that was', operation: vaultSeal, so: { hasBegun: true }, code: 'outcome.unknown' },
  {
    why: 'a connection test, which dials as it begins',
    operation: integrationsTest,
    so: { hasBegun: true },
    code: 'outcome.unknown',
  },
  { why: 'a read', operation: integrationsGet, so: { hasBegun: true }, code: 'database.unavailable' },
]
for (const { why, operation, so, code } of cases) {
  test(`when its time is up, ${why} is answered ${code}`, () => {
    const err = overdueAnswer(operation, { ...newProgress(), messageId: 'msg_x', ...so })
    assert.equal(err.code, code)
    if (operation === proxyOutbound && code === 'outcome.unknown') assert.equal(err.details?.['message_id'], 'msg_x')
  })
}

test('an operation that takes no Idempotency-Key does not ask for one', () => {
  const begun = { ...newProgress(), hasBegun: true }
  assert.match(overdueAnswer(vaultSeal, begun).message, /Idempotency-Key/)
  assert.doesNotMatch(overdueAnswer(integrationsDelete, begun).message, /Idempotency-Key/)
})
