import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCache } from '#src/db/cache.ts'
import type { ChangeHandler } from '#src/db/change-feed.ts'

/** A cache over a feed and a database that the test drives by hand. */
function setUp({ max = 10, ttlMs = 60_000 } = {}) {
  let handler: ChangeHandler = () => assert.fail('nobody listens')
  const state = { live: true, nowMs: 1_000 }
  const loads: { key: string; resolve: (value: string | undefined) => void; reject: (err: Error) => void }[] = []
  const cache = createCache<string>({
    feed: {
      get live() {
        return state.live
      },
      on(topic, listener) {
        assert.equal(topic, 'vault')
        handler = listener
      },
    },
    topic: 'vault',
    max,
    ttlMs,
    now: () => state.nowMs,
    load: (key) => new Promise((resolve, reject) => loads.push({ key, resolve, reject })),
  })
  /** Answers the oldest load that waits. */
  const answer = (value: string | undefined) => loads.shift()?.resolve(value)
  return { cache, state, loads, answer, announce: (key?: string) => handler(key) }
}

/** Has the cache hold `value` for `key`. */
async function hold({ cache, answer }: ReturnType<typeof setUp>, key: string, value: string): Promise<void> {
  const got = cache.get(key)
  answer(value)
  assert.equal(await got, value)
}

test('a value is loaded once and then kept', async () => {
  const s = setUp()
  await hold(s, 'a', '1')
  assert.equal(await s.cache.get('a'), '1')
  assert.equal(s.loads.length, 0)
})

test('callers that ask together share one load, and each key has its own', async () => {
  const s = setUp()
  const [first, second, other] = [s.cache.get('a'), s.cache.get('a'), s.cache.get('b')]
  assert.deepEqual(
    s.loads.map((load) => load.key),
    ['a', 'b'],
  )
  s.answer('1')
  s.answer('2')
  assert.deepEqual(await Promise.all([first, second, other]), ['1', '1', '2'])
})

const forgetting: { why: string; forget: (s: ReturnType<typeof setUp>, key: string) => void }[] = [
  { why: 'an announcement of the key', forget: (s, key) => s.announce(key) },
  { why: 'an announcement of everything', forget: (s) => s.announce(undefined) },
  { why: 'forget()', forget: (s, key) => s.cache.forget(key) },
]
for (const { why, forget } of forgetting) {
  test(`${why} makes the next caller load`, async () => {
    const s = setUp()
    await hold(s, 'a', 'old')
    forget(s, 'a')
    await hold(s, 'a', 'new')
  })

  test(`${why} during a load keeps its result out, and whoever asks afterwards starts another`, async () => {
    const s = setUp()
    const before = s.cache.get('a')
    forget(s, 'a')
    const afterwards = s.cache.get('a')
    assert.equal(s.loads.length, 2)
    const [old, fresh] = s.loads
    fresh?.resolve('new')
    assert.equal(await afterwards, 'new')
    old?.resolve('old') // arrives last and must not replace the newer one
    assert.equal(await before, 'old')
    assert.equal(await s.cache.get('a'), 'new')
  })

  test(`${why} during a load, with nobody asking afterwards, leaves nothing behind`, async () => {
    const s = setUp()
    const before = s.cache.get('a')
    forget(s, 'a')
    s.answer('old')
    assert.equal(await before, 'old')
    await hold(s, 'a', 'new')
  })
}

test('an announcement of another key changes nothing', async () => {
  const s = setUp()
  await hold(s, 'a', '1')
  const loading = s.cache.get('b')
  s.announce('c')
  s.answer('2')
  await loading
  assert.deepEqual([await s.cache.get('a'), await s.cache.get('b')], ['1', '2'])
})

test('while the feed is not live every call loads and nothing is kept', async () => {
  const s = setUp()
  await hold(s, 'a', 'old')
  s.state.live = false
  s.announce(undefined)
  await hold(s, 'a', 'x')
  const [one, two] = [s.cache.get('a'), s.cache.get('a')]
  assert.equal(s.loads.length, 2)
  s.answer('y')
  s.answer('z')
  assert.deepEqual(await Promise.all([one, two]), ['y', 'z'])
  s.state.live = true
  await hold(s, 'a', 'new')
})

test('a load that the loss of the feed overtook is not kept', async () => {
  const s = setUp()
  const before = s.cache.get('a')
  s.state.live = false
  s.announce(undefined)
  s.state.live = true
  s.announce(undefined)
  s.answer('old')
  await before
  await hold(s, 'a', 'new')
})

test('what is absent and what failed is not remembered', async () => {
  const s = setUp()
  const absent = s.cache.get('a')
  s.answer(undefined)
  assert.equal(await absent, undefined)
  const failed = s.cache.get('a')
  s.loads.shift()?.reject(new Error('down'))
  await assert.rejects(failed, /down/)
  await hold(s, 'a', '1')
})

test('a value serves for its time and no longer', async () => {
  const s = setUp({ ttlMs: 500 })
  await hold(s, 'a', 'old')
  s.state.nowMs += 500
  assert.equal(await s.cache.get('a'), 'old')
  s.state.nowMs += 1
  await hold(s, 'a', 'new')
})

test('the least recently used value goes first', async () => {
  const s = setUp({ max: 2 })
  await hold(s, 'a', '1')
  await hold(s, 'b', '2')
  await s.cache.get('a')
  await hold(s, 'c', '3')
  assert.equal(await s.cache.get('a'), '1')
  await hold(s, 'b', '2 again')
})
