import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOutageGate } from '#src/kms/outage-gate.ts'
import { patience } from '#test/support/patience.ts'

const outage = new Error('nobody answers')
const no = new Error('a no')

function setUp(random = 1) {
  let nowMs = 0
  const gate = createOutageGate({ monotonic: () => nowMs, random: () => random, isOutage: (err) => err === outage })
  let asked = 0
  const ask = (result: 'yes' | Error) => () => {
    asked++
    return result instanceof Error ? Promise.reject(result) : Promise.resolve(result)
  }
  const isRefused = (work: Promise<unknown>) => assert.rejects(work, { code: 'kms.unavailable', retryAfterS: 1 })
  return { gate, ask, isRefused, asked: () => asked, advance: (ms: number) => (nowMs += ms) }
}

test('after a failure nobody asks for a while, which doubles up to two seconds; an answer ends it', async () => {
  const { gate, ask, isRefused, asked, advance } = setUp()
  for (const waitMs of [250, 500, 1_000, 2_000, 2_000]) {
    await assert.rejects(gate.run(ask(outage)), outage)
    const before = asked()
    advance(waitMs - 1)
    await isRefused(gate.run(ask('yes')))
    assert.equal(asked(), before)
    advance(1)
  }
  assert.equal(await gate.run(ask('yes')), 'yes')
  assert.equal(await gate.run(ask('yes')), 'yes')
  await assert.rejects(gate.run(ask(outage)), outage)
  advance(250)
  assert.equal(await gate.run(ask('yes')), 'yes', 'the waits begin anew')
})

test('the wait has full jitter, and is never nothing', async () => {
  for (const { random, waitMs } of [
    { random: 0, waitMs: 50 },
    { random: 0.5, waitMs: 125 },
  ]) {
    const { gate, ask, isRefused, advance } = setUp(random)
    await assert.rejects(gate.run(ask(outage)), outage)
    advance(waitMs - 1)
    await isRefused(gate.run(ask('yes')))
    advance(1)
    assert.equal(await gate.run(ask('yes')), 'yes')
  }
})

test('a no to one request is an answer, and holds nobody up', async () => {
  const { gate, ask } = setUp()
  await assert.rejects(gate.run(ask(no)), no)
  assert.equal(await gate.run(ask('yes')), 'yes')
})

test('when the wait is over one asks; the others wait a moment for what it hears, and go on, or are refused, with it', async () => {
  const { gate, ask, asked, isRefused, advance } = setUp()
  await assert.rejects(gate.run(ask(outage)), outage)
  advance(250)
  const silent = Promise.withResolvers<string>()
  const first = gate.run(() => silent.promise)
  await isRefused(gate.run(ask('yes'))) // it has heard nothing after a moment
  assert.equal(asked(), 1)
  silent.reject(outage)
  await assert.rejects(first, outage)

  advance(500)
  const back = Promise.withResolvers<string>()
  const second = gate.run(() => back.promise)
  const others = [gate.run(ask('yes')), gate.run(ask('yes')), gate.run(ask('yes'))]
  back.resolve('back')
  assert.equal(await second, 'back')
  assert.deepEqual(await Promise.all(others), ['yes', 'yes', 'yes'])
})

test('sixteen ask at a time; of a hundred that come at once sixteen meet the outage, and it counts once', async () => {
  const { gate, asked, advance, ask } = setUp()
  let running = 0
  let most = 0
  const all = await Promise.allSettled(
    Array.from({ length: 100 }, () =>
      gate.run(async () => {
        await ask('yes')()
        most = Math.max(most, ++running)
        await new Promise(setImmediate)
        running--
        throw outage
      }),
    ),
  )
  assert.equal(most, 16)
  assert.equal(asked(), 16)
  assert.ok(all.every(({ status }) => status === 'rejected'))
  advance(250)
  assert.equal(await gate.run(ask('yes')), 'yes', 'sixteen failures are one outage')
})

test('in an outage everybody is refused within a moment, however many come while the one that asks hears nothing', async () => {
  const { gate, ask, asked, isRefused, advance } = setUp()
  await assert.rejects(gate.run(ask(outage)), outage)
  advance(250)
  const silent = Promise.withResolvers<string>()
  const first = gate.run(() => silent.promise)
  const beganMs = performance.now()
  await Promise.all(Array.from({ length: 500 }, () => isRefused(gate.run(ask('yes')))))
  assert.ok(performance.now() - beganMs < patience(2_000), `took ${performance.now() - beganMs} ms`)
  assert.equal(asked(), 1)
  silent.resolve('back')
  assert.equal(await first, 'back')
})
