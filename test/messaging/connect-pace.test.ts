import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Clock } from '#src/core/clock.ts'
import { createConnectPace, reserve, type Spacing } from '#src/messaging/connect-pace.ts'
import { mostInASecond } from '#test/support/broker-farm.ts'

/** The times at which attempts may begin that are all asked for at the times given. */
function timesOf(asked: readonly number[], spacing: Spacing): number[] {
  let dueMs = 0
  return asked.map((nowMs) => {
    const reserved = reserve(dueMs, nowMs, spacing)
    dueMs = reserved.dueMs
    return reserved.atMs
  })
}

const spacing = { burst: 5, intervalMs: 25 }

test('a lone attempt, and those that come slower than the spacing, never wait', () => {
  const asked = Array.from({ length: 200 }, (_, i) => 7 + i * 25)
  assert.deepEqual(timesOf(asked, spacing), asked)
})

test('those that come at once: as many as the burst begin, the others one by one', () => {
  assert.deepEqual(timesOf(Array(8).fill(1_000), spacing), [1_000, 1_000, 1_000, 1_000, 1_000, 1_025, 1_050, 1_075])
})

test('G11: whatever is asked for when, no second has more than 45, and nothing waits longer than those before it take', () => {
  let seed = 7
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed / 2_147_483_648
  }
  for (let round = 0; round < 50; round++) {
    const asked = Array.from({ length: 300 }, () => random() * 4_000 * random()).sort((a, b) => a - b)
    const times = timesOf(asked, spacing)
    const most = mostInASecond(times)
    assert.ok(most <= 45, `${most} in a second`)
    for (const [i, at] of times.entries()) assert.ok(at >= (asked[i] ?? 0) && at <= (asked[i] ?? 0) + i * 25)
  }
})

/** Lines on the clock of the mocked timers, and what each that asked was told, in order, with the time. */
function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 })
  const clock: Clock = { now: Date.now, monotonic: Date.now }
  const pace = createConnectPace(clock)
  const told: { said: string; atMs: number }[] = []
  const settle = () => new Promise(setImmediate)
  return {
    pace,
    told,
    /** Asks, and lets those through that need not wait. */
    async ask(count: number, wait: () => Promise<void>) {
      for (let i = 0; i < count; i++) {
        const tell = (said: string) => void told.push({ said, atMs: Date.now() })
        wait().then(
          () => tell('turn'),
          (err: { code: string }) => tell(err.code),
        )
      }
      await settle()
    },
    async pass(ms: number, stepMs = 1) {
      for (let passed = 0; passed < ms; passed += stepMs) {
        t.mock.timers.tick(stepMs)
        await settle()
      }
    },
    times: () => told.flatMap(({ said, atMs }) => (said === 'turn' ? [atMs] : [])),
  }
}

test('five hundred at once: at most 42 a second, and those that would be too late are refused at once, not queued', async (t) => {
  const at = setUp(t)
  await at.ask(500, () => at.pace.atAll('a', 5_000))
  const refused = at.told.filter(({ said }) => said === 'broker.busy')
  assert.deepEqual(at.times(), [0, 0, 0, 0, 0])
  assert.equal(refused.length, 500 - 5 - 185, 'five at once, then one each 27 ms for five seconds')
  await at.pass(5_100)
  assert.equal(at.times().length, 190)
  assert.ok(mostInASecond(at.times()) <= 42)
})

test('after a stall of the process there is no rush, and whose time is over is refused', async (t) => {
  const at = setUp(t)
  await at.ask(100, () => at.pace.atAll('a', 2_700))
  await at.pass(300)
  await at.pass(1_500, 1_500) // nothing runs for so long
  await at.pass(3_000)
  assert.ok(mostInASecond(at.times()) <= 42, `${mostInASecond(at.times())}`)
  assert.equal(at.told.length, 100)
  assert.ok(at.told.some(({ said }) => said === 'broker.busy'))
  assert.ok(at.times().every((ms) => ms <= 2_700))
})

test('an address that everybody lost leaves the others alone', async (t) => {
  const at = setUp(t)
  await at.ask(6, () => at.pace.atAddress('a', 'lost:1883', 0))
  await at.ask(1, () => at.pace.atAddress('a', 'other:1883', 0))
  assert.deepEqual(
    at.told.map(({ said }) => said),
    ['turn', 'turn', 'turn', 'turn', 'turn', 'broker.busy', 'turn'],
  )
})

test('what was refused takes no turn, and after a rest the burst is whole again', async (t) => {
  const at = setUp(t)
  await at.ask(105, () => at.pace.atAll('a', 0))
  await at.pass(5 * 27)
  await at.ask(6, () => at.pace.atAll('a', Date.now()))
  assert.equal(at.times().length, 10)
})

test('a tenant with hundreds waiting moves the lone one of another by one turn', async (t) => {
  const at = setUp(t)
  await at.ask(300, () => at.pace.atAll('many', 60_000))
  let turnAtMs = -1
  void at.pace.atAll('lone', 100).then(() => {
    turnAtMs = Date.now()
  })
  await at.pass(200)
  assert.ok(turnAtMs >= 0 && turnAtMs <= 2 * 27 + 1, `${turnAtMs} ms`)
  assert.ok(at.told.length < 15)
  await at.pass(9_000, 10)
  assert.equal(at.times().length, 300, 'and nobody is forgotten')
})

test('those of one tenant are let through in the order of asking', async (t) => {
  const at = setUp(t)
  const order: string[] = []
  for (let i = 0; i < 9; i++)
    for (const tenantId of ['a', 'b', 'c'])
      void at.pace.atAll(tenantId, 60_000).then(() => order.push(`${tenantId}${i}`))
  await at.pass(1_000)
  assert.equal(order.length, 27)
  for (const tenantId of ['a', 'b', 'c'])
    assert.deepEqual(
      order.filter((one) => one.startsWith(tenantId)),
      Array.from({ length: 9 }, (_, i) => `${tenantId}${i}`),
    )
})
