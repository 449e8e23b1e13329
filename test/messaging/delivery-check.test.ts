import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import type { Access, Ruling } from '#src/messaging/access.ts'
import { createDeliveryCheck } from '#src/messaging/delivery-check.ts'

const revision = (number: number) => ({ id: 'pol', revision: number })

/** Allows the subscription or not, and of deliveries what does not begin with `no`, which is the rule's name then. */
function accessAt(number: number, allowed = true): Access {
  const ruling: Ruling = {
    allowed,
    reason: 'as the test says',
    rule: null,
    qos: 1,
    retain: false,
    policy: revision(number),
    record: {},
    trace: () => [],
  }
  return {
    publish: () => assert.fail('nothing is published'),
    subscribe: () => ruling,
    receive: (topic) => ({ allowed: !topic.startsWith('no'), rule: topic, reason: 'rule' }),
  }
}

/** A check on a clock that moves by hand; `questions` holds what it asked, in order, for the test to answer. */
function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 10_000
  const questions: PromiseWithResolvers<Access>[] = []
  const renew = () => {
    const question = Promise.withResolvers<Access>()
    questions.push(question)
    return question.promise
  }
  const granting = { access: accessAt(1), policy: revision(1), askedMs: nowMs }
  const clock = { now: () => nowMs, monotonic: () => nowMs }
  const check = createDeliveryCheck(granting, renew, { filter: 'a/#', qos: 1 }, clock)
  return {
    check,
    questions,
    pass(ms: number) {
      nowMs += ms
      t.mock.timers.tick(ms)
    },
    async answer(index: number, settle: (question: PromiseWithResolvers<Access>) => void) {
      const question = questions[index]
      assert.ok(question, `question ${index} was not asked`)
      settle(question)
      await new Promise(setImmediate)
    },
    rows: () => check.refused().map(({ reason, policy, count }) => [reason, policy?.revision, count]),
  }
}

test('while no answer comes, what was allowed serves for 5 s and not longer', (t) => {
  const { check, questions, pass, rows } = setUp(t)
  for (let i = 0; i < 5; i++) pass(1_000)
  assert.equal(questions.length, 5, 'it is asked every second')
  assert.equal(check.allow('a/1'), true)
  check.assertAllowed()
  pass(1)
  assert.equal(check.allow('a/2'), false)
  assert.throws(
    () => check.assertAllowed(),
    (err) => err instanceof AppError && err.code === 'database.unavailable',
  )
  assert.deepEqual(rows(), [['unknown', undefined, 1]])
})

test('an answer counts from when it was asked: one that took longer than 5 s revives nothing', async (t) => {
  const { check, pass, answer } = setUp(t)
  for (let i = 0; i < 7; i++) pass(1_000)
  await answer(0, ({ resolve }) => resolve(accessAt(1)))
  assert.equal(check.allow('a/1'), false)
  await answer(6, ({ resolve }) => resolve(accessAt(1)))
  assert.equal(check.allow('a/1'), true)
})

test('an older answer that ends later does not undo a newer one', async (t) => {
  const { check, pass, answer, rows } = setUp(t)
  pass(1_000)
  pass(1_000)
  await answer(1, ({ resolve }) => resolve(accessAt(2, false)))
  assert.equal(check.allow('a/1'), false)
  await answer(0, ({ resolve }) => resolve(accessAt(1)))
  assert.equal(check.allow('a/2'), false)
  assert.deepEqual(rows(), [['withdrawn', 2, 2]])
  pass(1_000)
  await answer(2, ({ resolve }) => resolve(accessAt(3)))
  assert.equal(check.allow('a/3'), true)
})

const failures = [
  { err: new AppError('object.not_found', 'Gone.'), reason: 'withdrawn' },
  { err: new AppError('operation.not_allowed', 'No.'), reason: 'withdrawn' },
  { err: new AppError('database.unavailable', 'Silent.'), reason: 'unknown' },
  { err: new Error('anything else'), reason: 'unknown' },
]
for (const { err, reason } of failures) {
  test(`a question that fails with "${err.message}" allows nothing, and the row says ${reason}`, async (t) => {
    const { check, pass, answer, rows } = setUp(t)
    pass(1_000)
    await answer(0, ({ reject }) => reject(err))
    assert.equal(check.allow('a/1'), false)
    assert.deepEqual(rows(), [[reason, undefined, 1]])
    pass(1_000)
    await answer(1, ({ resolve }) => resolve(accessAt(1)))
    assert.equal(check.allow('a/1'), true)
  })
}

test('20 reasons are told apart; those beyond are counted apart from them, and named after none', (t) => {
  const { check } = setUp(t)
  for (let i = 0; i < 25; i++) for (let times = 0; times <= i; times++) check.allow(`no/${i}`)
  const rows = check.refused()
  assert.equal(rows.length, 21)
  for (const [i, { rule, count }] of rows.slice(0, 20).entries()) assert.deepEqual([rule, count], [`no/${i}`, i + 1])
  assert.deepEqual(rows[20], {
    topic: 'no/20',
    policy: null,
    rule: null,
    reason: 'other',
    count: 21 + 22 + 23 + 24 + 25,
  })
})

test('what was withheld is counted under the revision that withheld it', async (t) => {
  const { check, pass, answer, rows } = setUp(t)
  check.allow('no/1')
  pass(1_000)
  await answer(0, ({ resolve }) => resolve(accessAt(2)))
  check.allow('no/1')
  check.allow('no/1')
  assert.deepEqual(rows(), [
    ['rule', 1, 1],
    ['rule', 2, 2],
  ])
})

test('a check that has stopped asks nothing more', (t) => {
  const { check, questions, pass } = setUp(t)
  check.stop()
  pass(3_000)
  assert.equal(questions.length, 0)
})
