import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '#src/core/clock.ts'
import { createFairShares } from '#src/messaging/fair-shares.ts'
import type { Release } from '#src/messaging/semaphore.ts'

const later = () => systemClock.monotonic() + 10_000

function setUp(permits = 128) {
  const shares = createFairShares({ permits, clock: systemClock, busyText: 'busy' })
  const granted: string[] = []
  const held: { tenantId: string; release: Release }[] = []
  return {
    shares,
    granted,
    held,
    async ask(tenantId: string, count: number) {
      for (let i = 0; i < count; i++) {
        shares.acquire(tenantId, later()).then(
          (release) => {
            granted.push(tenantId)
            held.push({ tenantId, release })
          },
          () => {}, // nobody frees its permit in time
        )
      }
      await new Promise(setImmediate)
    },
  }
}

test('twenty tenants that take all they can leave room for another', async () => {
  const at = setUp()
  for (let i = 0; i < 20; i++) await at.ask(`t${i}`, 100)
  assert.ok(at.shares.used > 100 && at.shares.used < 128, `${at.shares.used}`)
  await at.ask('another', 1)
  assert.equal(at.granted.at(-1), 'another')
  for (const { release } of at.held) release()
})

test('what comes free goes to the tenants in turn, and a permit is given back once', async () => {
  const at = setUp(2)
  await at.ask('a', 6)
  await at.ask('b', 3)
  assert.deepEqual(at.granted, ['a', 'b'])
  for (let first = at.held.shift(); first; first = at.held.shift()) {
    first.release()
    first.release()
    await new Promise(setImmediate)
    assert.ok(at.shares.used <= 2)
  }
  assert.deepEqual(at.granted, ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'a', 'a'])
  assert.equal(at.shares.used, 0)
})

test('who waits longer than its deadline is refused, and takes nothing later', async () => {
  const shares = createFairShares({ permits: 1, clock: systemClock, busyText: 'busy' })
  const release = await shares.acquire('a', later())
  await assert.rejects(shares.acquire('b', systemClock.monotonic() + 20), { code: 'broker.busy', message: 'busy' })
  release()
  assert.equal(shares.used, 0)
  ;(await shares.acquire('c', later()))()
})
