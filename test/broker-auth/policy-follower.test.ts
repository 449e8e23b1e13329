import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPolicyFollower, type Snapshot } from '#src/broker-auth/policy-follower.ts'
import type { ActivePolicy } from '#src/policies/active-policies.ts'
import { localFeed, testClock } from '../support/deployment.ts'

const active = (revision: number) => ({ policyId: 'pol_1', revision }) as unknown as ActivePolicy

/** A follower whose reads end when the test says so. */
function follow({ staleMs = 30_000 } = {}) {
  const clock = testClock()
  const feed = localFeed()
  const reads: PromiseWithResolvers<ActivePolicy | undefined>[] = []
  const told = { missing: 0 }
  const follower = createPolicyFollower({
    missing: () => void told.missing++,
    read() {
      const read = Promise.withResolvers<ActivePolicy | undefined>()
      reads.push(read)
      return read.promise
    },
    feed,
    topicKey: 'ten_1/pol_1',
    staleMs,
    monotonic: clock.monotonic,
  })
  return { clock, feed, reads, follower, told }
}

const revisionOf = (snapshot: Snapshot | undefined) => snapshot?.policy?.revision

test('what was read within a second answers without waiting and without reading', async () => {
  const { clock, reads, follower } = follow()
  const first = follower.current()
  assert.ok(first instanceof Promise)
  reads[0]?.resolve(active(1))
  assert.equal(revisionOf(await first), 1)
  clock.advance(1_000)
  assert.equal(revisionOf(await follower.current()), 1)
  assert.ok(!(follower.current() instanceof Promise))
  assert.equal(reads.length, 1)
})

test('within four seconds it answers at once and reads beside; many who ask share one read', async () => {
  const { clock, reads, follower } = follow()
  const first = follower.current()
  reads[0]?.resolve(active(1))
  await first
  clock.advance(1_001)
  for (let i = 0; i < 10; i++) assert.ok(!(follower.current() instanceof Promise))
  assert.equal(reads.length, 2)
  reads[1]?.resolve(active(2))
  await reads[1]?.promise
  await Promise.resolve()
  assert.equal(revisionOf(await follower.current()), 2)
})

test('after an announcement nothing older decides, also not what a read brings that began before', async () => {
  const { feed, reads, follower } = follow()
  const first = follower.current()
  feed.send('policy', 'ten_1/pol_1')
  const second = follower.current()
  assert.equal(reads.length, 2)
  reads[1]?.resolve(active(2))
  assert.equal(revisionOf(await second), 2)
  reads[0]?.resolve(active(1))
  await first
  assert.equal(revisionOf(await follower.current()), 2)
  feed.send('policy', 'ten_1/pol_2')
  assert.ok(!(follower.current() instanceof Promise), 'another policy')
})

test('a database that hangs holds up the first to ask, for 100 ms, and nobody after that', async () => {
  const { feed, reads, follower } = follow()
  const first = follower.current()
  reads[0]?.resolve(active(1))
  await first
  feed.send('policy', undefined)
  const waiting = follower.current()
  assert.ok(waiting instanceof Promise)
  assert.equal(revisionOf(await waiting), 1, 'what is known has to do')
  for (let i = 0; i < 10; i++) assert.ok(!(follower.current() instanceof Promise))
  assert.equal(reads.length, 2)
  reads[1]?.resolve(active(2))
  await reads[1]?.promise
  await Promise.resolve()
  assert.equal(revisionOf(await follower.current()), 2)
})

test('a database that is away is asked four times a second; after staleMs nobody knows', async () => {
  const { clock, feed, reads, follower } = follow({ staleMs: 10_000 })
  const first = follower.current()
  reads[0]?.resolve(active(1))
  await first
  feed.send('policy', undefined)
  const failing = follower.current()
  reads[1]?.reject(new Error('away'))
  assert.equal(revisionOf(await failing), 1)
  for (let i = 0; i < 10; i++) assert.equal(revisionOf(await follower.current()), 1)
  assert.equal(reads.length, 2)
  clock.advance(10_001)
  const late = follower.current()
  reads[2]?.reject(new Error('away'))
  assert.equal(await late, undefined)
  clock.advance(251)
  const back = follower.current()
  reads[3]?.resolve(active(3))
  assert.equal(revisionOf(await back), 3)
})

test('without anything known a failed read is no policy, and a policy that is not there is an answer', async () => {
  const { reads, follower } = follow()
  const first = follower.current()
  reads[0]?.reject(new Error('away'))
  assert.equal(await first, undefined)
  const second = follower.current()
  reads[1]?.resolve(undefined)
  assert.deepEqual(await second, { policy: undefined })
})

test('a policy that goes away is told, once; one that never was is not', async () => {
  const { clock, reads, follower, told } = follow()
  const outcomes = [undefined, undefined, active(1), undefined, undefined]
  const counts = []
  for (const [i, outcome] of outcomes.entries()) {
    const asked = follower.current()
    reads[i]?.resolve(outcome)
    assert.equal((await asked)?.policy, outcome)
    counts.push(told.missing)
    clock.advance(5_000)
  }
  assert.deepEqual(counts, [0, 0, 0, 1, 1])
})
