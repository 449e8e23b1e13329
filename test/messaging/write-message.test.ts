import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery } from '#src/messaging/broker.ts'
import type { LateOutcome } from '#src/messaging/late-outcomes.ts'
import { leaveUnknown, type Writing, write } from '#src/messaging/write-message.ts'
import { testClock } from '#test/support/deployment.ts'

const message = { topic: 'a/b', payload: new Uint8Array(), qos: 1, retain: false, messageId: 'msg_1' } as const

/** A connection whose broker settles a message when it is told to. */
function parts() {
  const clock = testClock()
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  const calls = { published: 0, released: 0, late: [] as LateOutcome[] }
  const publish = () => {
    calls.published++
    return promise
  }
  const client = { closed: false, lastInboundMs: clock.monotonic(), publish }
  const writing = {
    connection: { client, leases: 0, tenantId: 'ten_1', integrationId: 'int_1' },
    deadlineMs: clock.monotonic() + 300,
    clock,
    connections: { drain() {}, release() {} },
    counts: { lateAcknowledgements: 0 },
    onLate: (late: LateOutcome) => calls.late.push(late),
    reached: () => undefined,
  } as unknown as Writing
  return { clock, calls, writing, settle: resolve, release: () => void calls.released++ }
}

test('nothing is written once the deadline has passed: whoever took over may rely on it', () => {
  const { clock, calls, writing, release } = parts()
  clock.advance(301)
  assert.throws(() => write(writing, message, release), { code: 'broker.busy' })
  assert.deepEqual([calls.published, calls.released], [0, 1])
})

const deliveries: readonly Delivery[] = [
  { state: 'acknowledged', reasonCode: 0 },
  { state: 'refused', reasonCode: 0x97 },
  { state: 'sent' },
]
for (const delivery of deliveries) {
  test(`${delivery.state} after the caller was told unknown is told once, before it is not late`, async () => {
    for (const isLate of [true, false]) {
      const { calls, writing, settle, release } = parts()
      const written = write(writing, message, release)
      assert.ok(written)
      if (isLate) leaveUnknown(writing, written)
      settle(delivery)
      await written.pending
      const late = { tenantId: 'ten_1', integrationId: 'int_1', messageId: 'msg_1', topic: 'a/b', delivery }
      assert.deepEqual(calls.late, isLate ? [late] : [])
      assert.deepEqual([calls.published, calls.released], [1, 1])
    }
  })
}

test('a connection that ended says nothing late', async () => {
  const { calls, writing, settle, release } = parts()
  const written = write(writing, message, release)
  assert.ok(written)
  leaveUnknown(writing, written)
  settle({ state: 'lost' })
  await written.pending
  assert.deepEqual(calls.late, [])
})
