import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { afterFailure, afterTakeOver, createGates, type Gate, spaced } from '#src/messaging/connect-gate.ts'
import { createPacketGuard, type PacketBounds } from '#src/messaging/packet-guard.ts'
import { reasonName, refusesCredential } from '#src/messaging/reason-codes.ts'
import { createRetrySpacing } from '#src/messaging/retry-spacing.ts'
import { createSemaphore } from '#src/messaging/semaphore.ts'
import { refusalOf } from './harness.ts'

const unreachable = new AppError('broker.unreachable', 'Gone.')
const refused = new AppError('broker.rejected', 'No.', { details: { reason_code: 0x87, reason: 'Not authorized' } })

test('backoff: full jitter up to a slot that doubles to 4 s, at least half of it from the fifth failure on', () => {
  const slots = [500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000]
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

test('a broker that refuses for a reason that lasts is asked less and less often, up to once a minute; one that is not ready is not', () => {
  const after = (reasonCode: number) => {
    const failure = new AppError('broker.rejected', 'No.', { details: { reason_code: reasonCode, reason: '' } })
    let gate: Gate | undefined
    for (let i = 0; i < 12; i++) gate = afterFailure(gate, failure, 0, 1)
    return gate?.closedUntilMs
  }
  for (const lasting of [0x97, 0x9d, 0x9f]) assert.equal(after(lasting), 60_000)
  for (const passing of [0x03, 0x88, 0x89]) assert.equal(after(passing), 4_000)
})

test('a tenant with a few lost brokers tries each every four seconds; with a thousand, two in a second and each within 45 s', () => {
  let nowMs = 1_000
  const clock = { now: () => nowMs, monotonic: () => nowMs }
  const retryFrom = createRetrySpacing({ clock, random: () => 1 })
  assert.ok(Array.from({ length: 8 }, () => retryFrom('few')).every((atMs) => atMs === nowMs))
  nowMs += 4_000
  assert.ok(Array.from({ length: 8 }, () => retryFrom('few')).every((atMs) => atMs === nowMs))
  const times = Array.from({ length: 1_000 }, () => retryFrom('many'))
  assert.deepEqual(times.slice(7, 10), [nowMs, nowMs + 500, nowMs + 1_000])
  assert.equal(Math.max(...times), nowMs + 45_000)
  assert.equal(retryFrom('another'), nowMs)
  nowMs += 45_000
  assert.ok(retryFrom('many') <= nowMs + 500, 'what is long ago is forgotten')
})

test('only what the breaker holds back waits for its turn among the tenant’s lost brokers', () => {
  const open = { failures: 5, closedUntilMs: 10, failsFast: true, lastFailure: unreachable }
  assert.equal(spaced(open, () => 500).closedUntilMs, 500)
  assert.equal(spaced(open, () => 5).closedUntilMs, 10)
  const none = () => assert.fail('no turn is taken')
  assert.equal(spaced({ ...open, failsFast: false }, none).closedUntilMs, 10)
  assert.equal(spaced({ ...open, lastFailure: refused }, none).closedUntilMs, 10)
})

test('F14: the third session in a row that is taken over closes the gate for five minutes, with what the broker said', () => {
  let gate: Gate | undefined
  for (const stopped of [false, false, true, true]) {
    const next = afterTakeOver(gate, 1_000, 0)
    assert.equal(next.stopped, stopped)
    if (stopped) assert.deepEqual([next.closedUntilMs, next.failsFast], [301_000, true])
    else assert.deepEqual([next.closedUntilMs, next.failsFast], [1_000, false])
    assert.deepEqual(next.lastFailure.details, { reason_code: 0x8e, reason: 'Session taken over' })
    gate = afterFailure(next, unreachable, 1_000, 0)
  }
})

test('an open breaker lets one attempt through after its time, and answers the others with the last failure', () => {
  let nowMs = 0
  const gates = createGates({ clock: { now: () => nowMs, monotonic: () => nowMs }, random: () => 0, halfOpenMs: 500 })
  for (let i = 0; i < 5; i++) gates.failed('k', unreachable)
  assert.throws(() => gates.pass('k'), { code: 'broker.unreachable', retryAfterS: 2 })
  nowMs = 2_000
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

test('one that passed an open breaker and found out nothing leaves its try to the next; one that failed does not', () => {
  let nowMs = 0
  const gates = createGates({ clock: { now: () => nowMs, monotonic: () => nowMs }, random: () => 0, halfOpenMs: 5_000 })
  gates.failed('k', refused)
  gates.gaveUp('k')
  assert.throws(() => gates.pass('k'), { code: 'broker.rejected' }, 'of another attempt, from before the refusal')
  nowMs = 60_000
  gates.pass('k')
  assert.throws(() => gates.pass('k'), { code: 'broker.rejected' })
  gates.gaveUp('k')
  gates.pass('k')
  gates.failed('k', refused)
  gates.gaveUp('k')
  assert.throws(() => gates.pass('k'), { code: 'broker.rejected', retryAfterS: 60 })
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
/** A PUBLISH to `t` at this QoS that announces so many bytes of properties, as MQTT 5 writes them. */
function withProperties(length: number, qos: 0 | 1): Uint8Array {
  const announced = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7]
  const start = [0, 1, 0x74, ...(qos === 1 ? [0, 7] : []), ...announced]
  const whole = start.length + length
  const size = whole < 128 ? [whole] : [(whole & 0x7f) | 0x80, whole >> 7]
  return packet(length, [0x30 | (qos << 1), ...size, ...start])
}
const MQTT_5 = { maxBytes: 200, maxPropertiesBytes: 20 }
const framings: { why: string; bytes: Uint8Array; ok: boolean; bounds?: PacketBounds }[] = [
  { why: 'an empty packet', bytes: packet(0, [0xd0, 0]), ok: true },
  { why: 'the bound', bytes: packet(200, [0x30, 0xc8, 0x01]), ok: true },
  { why: 'one more', bytes: packet(201, [0x30, 0xc9, 0x01]), ok: false },
  { why: 'three packets', bytes: Uint8Array.from([0xd0, 0, 0x30, 2, 0xff, 0xff, 0xd0, 0]), ok: true },
  { why: 'a long second one', bytes: Uint8Array.from([0xd0, 0, 0x30, 0xff, 0xff, 0x7f]), ok: false },
  { why: 'five bytes of length', bytes: Uint8Array.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x00]), ok: false },
  { why: 'four bytes of length, not the shortest', bytes: Uint8Array.from([0x30, 0x80, 0x80, 0x80, 0x00]), ok: true },
]
for (const qos of [0, 1] as const) {
  framings.push(
    { why: `properties of the bound, QoS ${qos}`, bytes: withProperties(20, qos), ok: true, bounds: MQTT_5 },
    { why: `properties of one more, QoS ${qos}`, bytes: withProperties(21, qos), ok: false, bounds: MQTT_5 },
    { why: `many properties before MQTT 5, QoS ${qos}`, bytes: withProperties(150, qos), ok: true },
    {
      why: `properties of one more in a second packet, QoS ${qos}`,
      bytes: Uint8Array.from([...withProperties(0, qos), ...withProperties(20, qos), ...withProperties(21, qos)]),
      ok: false,
      bounds: MQTT_5,
    },
  )
}
framings.push(
  { why: 'a packet that ends within its topic', bytes: packet(3, [0x30, 5, 0xff, 0xff]), ok: true, bounds: MQTT_5 },
  { why: 'an empty PUBLISH and a PINGRESP', bytes: Uint8Array.from([0x30, 0, 0xd0, 0]), ok: true, bounds: MQTT_5 },
  { why: 'a long packet that is no PUBLISH', bytes: packet(21, [0x40, 21]), ok: false, bounds: MQTT_5 },
  {
    why: 'five bytes of properties length',
    bytes: Uint8Array.from([0x30, 9, 0, 1, 0x74, 0x80, 0x80, 0x80, 0x80, 0, 0]),
    ok: false,
    bounds: MQTT_5,
  },
)
for (const { why, bytes, ok, bounds = { maxBytes: 200 } } of framings) {
  test(`the packet guard ${ok ? 'passes' : 'refuses'} ${why}, whole and byte by byte`, () => {
    assert.equal(createPacketGuard(bounds)(bytes), ok)
    const guard = createPacketGuard(bounds)
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
