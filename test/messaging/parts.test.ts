import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { afterFailure, createGates, type Gate } from '#src/messaging/connect-gate.ts'
import { createPacketGuard } from '#src/messaging/packet-guard.ts'
import { reasonName, refusesCredential } from '#src/messaging/reason-codes.ts'
import { createSemaphore } from '#src/messaging/semaphore.ts'
import { refusalOf } from './harness.ts'

const unreachable = new AppError('broker.unreachable', 'Gone.')
const refused = new AppError('broker.rejected', 'No.', { details: { reason_code: 0x87, reason: 'Not authorized' } })

test('backoff: full jitter up to a slot that doubles to 60 s, at least half of it from the fifth failure on', () => {
  const slots = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
  let gate: Gate | undefined
  for (const [i, slot] of slots.entries()) {
    const open = i + 1 >= 5
    assert.equal(afterFailure(gate, unreachable, 0, 0).closedUntilMs, open ? slot / 2 : 0)
    assert.equal(afterFailure(gate, unreachable, 0, 0.5).closedUntilMs, open ? slot * 0.75 : slot / 2)
    gate = afterFailure(gate, unreachable, 0, 1)
    assert.equal(gate.closedUntilMs, slot)
    assert.equal(gate.failsFast, open)
  }
})

test('a refused credential closes its gate for a minute at the first failure, another refusal does not', () => {
  assert.deepEqual(
    [afterFailure(undefined, refused, 0, 0).closedUntilMs, afterFailure(undefined, refused, 0, 0).failsFast],
    [60_000, true],
  )
  const busy = new AppError('broker.rejected', 'Busy.', { details: { reason_code: 0x89, reason: 'Server busy' } })
  assert.equal(afterFailure(undefined, busy, 0, 0).failsFast, false)
})

test('an open breaker lets one attempt through after its time, and answers the others with the last failure', () => {
  let nowMs = 0
  const gates = createGates({ clock: { now: () => nowMs, monotonic: () => nowMs }, random: () => 0, halfOpenMs: 500 })
  for (let i = 0; i < 5; i++) gates.failed('k', unreachable)
  assert.throws(() => gates.pass('k'), { code: 'broker.unreachable', retryAfterS: 4 })
  nowMs = 4_000
  assert.equal(gates.pass('k'), 0)
  assert.throws(() => gates.pass('k'), { code: 'broker.unreachable' })
  gates.loggedIn('k')
  assert.equal(gates.pass('k'), 0)
  assert.equal(gates.pass('k'), 0)
  gates.failed('k', unreachable)
  assert.throws(
    () => gates.pass('k'),
    { code: 'broker.unreachable' },
    'the count stood until the connection was stable',
  )
  gates.forget('k')
  assert.equal(gates.pass('k'), 0)
  assert.equal(gates.pass('other'), 0)
})

test('the semaphore lets in as many as it has permits, in the order of asking, and a release counts once', async () => {
  const semaphore = createSemaphore({ permits: 2, maxWaiting: 2, clock: systemClock, busyText: 'busy' })
  const soon = () => systemClock.monotonic() + 5_000
  const [first, second] = [await semaphore.acquire(soon()), await semaphore.acquire(soon())]
  const order: number[] = []
  const third = semaphore.acquire(soon()).then(() => order.push(3))
  const fourth = semaphore.acquire(soon()).then(() => order.push(4))
  assert.equal((await refusalOf(semaphore.acquire(soon()))).code, 'broker.busy')
  assert.deepEqual([semaphore.used, semaphore.waiting], [2, 2])
  first()
  first()
  await third
  assert.deepEqual([order, semaphore.used, semaphore.waiting], [[3], 2, 1])
  second()
  await fourth
  assert.deepEqual(order, [3, 4])
})

test('the semaphore refuses at the deadline of whoever waits, and forgets it', async () => {
  const semaphore = createSemaphore({ permits: 1, maxWaiting: 9, clock: systemClock, busyText: 'busy' })
  const release = await semaphore.acquire(0)
  assert.equal((await refusalOf(semaphore.acquire(systemClock.monotonic() + 20))).code, 'broker.busy')
  assert.equal(semaphore.waiting, 0)
  release()
  assert.equal(semaphore.used, 0)
})

const packet = (length: number, header: readonly number[]) => Uint8Array.from([...header, ...new Uint8Array(length)])
const framings = [
  { why: 'an empty packet', bytes: packet(0, [0xd0, 0]), ok: true },
  { why: 'the bound', bytes: packet(200, [0x30, 0xc8, 0x01]), ok: true },
  { why: 'one more', bytes: packet(201, [0x30, 0xc9, 0x01]), ok: false },
  { why: 'three packets', bytes: Uint8Array.from([0xd0, 0, 0x30, 2, 0xff, 0xff, 0xd0, 0]), ok: true },
  { why: 'a long second one', bytes: Uint8Array.from([0xd0, 0, 0x30, 0xff, 0xff, 0x7f]), ok: false },
  { why: 'five bytes of length', bytes: Uint8Array.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x00]), ok: false },
  { why: 'four bytes of length, not the shortest', bytes: Uint8Array.from([0x30, 0x80, 0x80, 0x80, 0x00]), ok: true },
]
for (const { why, bytes, ok } of framings) {
  test(`the packet guard ${ok ? 'passes' : 'refuses'} ${why}, whole and byte by byte`, () => {
    assert.equal(createPacketGuard(200)(bytes), ok)
    const guard = createPacketGuard(200)
    assert.equal(
      [...bytes].every((byte) => guard(Uint8Array.of(byte))),
      ok,
    )
  })
}

test('reason codes have their names, unknown ones their number', () => {
  assert.equal(reasonName(0x87), 'Not authorized')
  assert.equal(reasonName(5), 'Not authorized')
  assert.equal(reasonName(0xfe), 'Reason 0xfe')
  assert.equal(reasonName(0x7f), 'Reason 0x7f')
  assert.deepEqual([4, 5, 0x86, 0x87].map(refusesCredential), [true, true, true, true])
  assert.deepEqual([1, 3, 0x88, 0x89, 0x97].map(refusesCredential), [false, false, false, false, false])
})
