import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSemaphore } from '#src/messaging/semaphore.ts'
import { writeBatch } from '#src/messaging/write-batch.ts'
import type { Writing } from '#src/messaging/write-message.ts'
import { testClock } from '#test/support/deployment.ts'

/** Writes 20 messages at QoS 0, each of which takes `stepMs` of work; gives the turns that others had before each. */
async function turnsOf(stepMs: number): Promise<number[]> {
  const clock = testClock()
  const turns: number[] = []
  let others = 0
  let isOver = false
  const count = () => {
    others++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const publish = () => {
    turns.push(others)
    clock.advance(stepMs)
    return Promise.resolve({ state: 'sent' })
  }
  const window = createSemaphore({ permits: 20, maxWaiting: 1, clock, busyText: '' })
  const writing = {
    connection: { client: { closed: false, publish }, window, leases: 0 },
    permission: { askedMs: clock.monotonic(), renew: () => Promise.resolve() },
    deadlineMs: clock.monotonic() + 10_000,
    clock,
    connections: { drain() {}, release() {} },
    counts: {},
    onLate() {},
    reached() {},
  } as unknown as Writing
  const message = { topic: 't', payload: new Uint8Array(), qos: 0, retain: false, messageId: 'msg_1' } as const
  const items = await writeBatch(writing, { messages: Array(20).fill(message), assertAllowed() {} })
  isOver = true
  assert.equal(items?.length, 20)
  return turns
}

test('while a batch is written that is slow to encode, others get their turns', async () => {
  const turns = await turnsOf(6)
  assert.equal(turns.length, 20)
  assert.ok(new Set(turns).size >= 19, turns.join())
})

test('a batch that is quickly written leaves at once', async () => {
  assert.equal(new Set(await turnsOf(0)).size, 1)
})
