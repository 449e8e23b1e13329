import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BrokerClient } from '#src/messaging/broker.ts'
import { type Connection, createConnectionSet } from '#src/messaging/connection-set.ts'

/** A set on a clock of its own, whose connections log in and end without a broker. */
function setUp({ maxConnections = 10 } = {}) {
  let nowMs = 0
  const clock = { now: () => nowMs, monotonic: () => ++nowMs }
  const set = createConnectionSet({ clock, maxConnections, idleMs: 3_600_000 })
  const ended: Connection[] = []
  let count = 0
  return {
    set,
    ended,
    /** Adds one that is in use. */
    add(tenantId: string, { placed = true } = {}) {
      const connection = {
        key: `k${count}`,
        role: 'publish',
        tenantId,
        integrationId: `i${count++}`,
        credentialId: 'c',
        filters: new Set<string>(),
        replyTopics: new Map<string, number>(),
        client: undefined,
        leases: 1,
        draining: false,
        deliberate: false,
        openedMs: 0,
        lastUsedMs: 0,
      } as unknown as Connection
      set.assertRoom(tenantId)
      set.add(connection)
      if (!placed) return connection
      void set.makeRoom(connection)
      connection.client = {
        end: async () => void ended.push(connection),
        ended: Promise.resolve(0),
      } as unknown as BrokerClient
      set.opened(connection)
      return connection
    },
    [Symbol.dispose]: () => set.stop(),
  }
}

test('the one idle for longest goes, never one in use; when all are in use there is no room', () => {
  using at = setUp({ maxConnections: 3 })
  const [first, second, third] = [at.add('a'), at.add('b'), at.add('c')]
  assert.throws(() => at.add('d'), { code: 'broker.busy', retryAfterS: 1 })
  at.set.release(second)
  at.set.release(first)
  at.add('d')
  assert.deepEqual(at.ended, [second])
  at.set.take(first)
  assert.throws(() => at.add('e'), { code: 'broker.busy' })
  assert.deepEqual([...at.set].includes(third), true)
})

test('the tenant that holds most gives up one of its own, whoever asks', () => {
  using at = setUp({ maxConnections: 6 })
  const quiet = [at.add('quiet'), at.add('quiet')]
  for (const one of quiet) at.set.release(one)
  const busy = Array.from({ length: 4 }, () => at.add('busy'))
  for (const one of busy) at.set.release(one)
  at.add('busy')
  at.add('new')
  assert.deepEqual(at.ended, busy.slice(0, 2), 'although those of the other were idle for longer')
})

test('a tenant holds at most four fifths, in use or not', () => {
  using at = setUp({ maxConnections: 5 })
  for (let i = 0; i < 4; i++) at.add('a')
  assert.throws(() => at.add('a'), { code: 'broker.busy' })
  at.add('b')
})

test('tenants that use all they can leave places for another', () => {
  using at = setUp({ maxConnections: 100 })
  const takeAll = (tenantId: string) => {
    let count = 0
    try {
      for (; ; count++) at.add(tenantId)
    } catch (err) {
      assert.equal((err as { code: string }).code, 'broker.busy')
    }
    return count
  }
  assert.deepEqual([takeAll('a'), takeAll('b')], [80, 16])
  assert.equal(at.set.size, 96)
  for (let i = 0; i < 4; i++) at.add(`t${i}`)
})

test('tenants that let as many wait as they can leave room for another', () => {
  using at = setUp({ maxConnections: 2 })
  for (let t = 0; t < 10; t++)
    assert.throws(() => {
      for (let i = 0; i < 300; i++) at.add(`t${t}`, { placed: false })
    })
  assert.ok(at.set.size < 1_024)
  at.add('another', { placed: false })
})

test('those that wait for their turn take no place, and are bounded for each tenant', () => {
  using at = setUp({ maxConnections: 2 })
  for (let i = 0; i < 256; i++) at.add('a', { placed: false })
  assert.throws(() => at.add('a', { placed: false }), { code: 'broker.busy' })
  at.set.release(at.add('b'))
  at.set.release(at.add('b'))
  assert.deepEqual(at.ended, [], 'nobody had to go for them')
})

test('one that is drained ends when its last operation does, also if it had not logged in', () => {
  using at = setUp()
  const used = at.add('a')
  at.set.drain(used)
  assert.deepEqual(at.ended, [])
  at.set.release(used)
  assert.deepEqual(at.ended, [used])
  const waiting = at.add('a', { placed: false })
  at.set.drain(waiting)
  at.set.release(waiting)
  waiting.client = used.client
  at.set.opened(waiting)
  assert.equal(at.ended.length, 2)
})

test('what a publish costs, and making room, does not grow with the number of connections', () => {
  const CYCLES = 2_000
  /** The quickest of five runs: what else the machine does meanwhile makes others slower. */
  function quickestMs(maxConnections: number): number {
    using at = setUp({ maxConnections })
    const full = (count: number) => {
      for (let i = 0; i < count; i++) at.set.release(at.add(`t${i % 50}`))
    }
    full(maxConnections)
    const runs = Array.from({ length: 5 }, () => {
      const started = performance.now()
      full(CYCLES)
      return performance.now() - started
    })
    assert.equal(at.ended.length, 5 * CYCLES)
    assert.equal(at.set.size, maxConnections)
    return Math.min(...runs)
  }
  const [few, many] = [quickestMs(100), quickestMs(10_000)]
  assert.ok(many < 20 * few, `${few} ms among 100, ${many} ms among 10,000`) // looking at all of them is a hundred times
})
