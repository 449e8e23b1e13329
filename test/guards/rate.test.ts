import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bucket, createBuckets } from '#src/guards/bucket.ts'
import { BucketTable, MAX_KEYS } from '#src/guards/bucket-table.ts'
import type { Guards } from '#src/guards/create-guards.ts'
import type { Caller, GuardedMessage, Refusal } from '#src/guards/outcome.ts'
import { guardsOf, message, TestClock } from './fixtures.ts'

function limited(limits: Record<string, unknown>, clock = new TestClock(), previous?: Guards): Guards {
  return guardsOf({ 'rate-limit': { enabled: true, ...limits } }, { clock }, previous)
}

function send(
  guards: Guards,
  bytes = 1,
  other: Partial<GuardedMessage> = {},
  caller: Caller = { clientId: 'c1' },
): Refusal | null {
  return guards.checkPublish(message(new Uint8Array(bytes), other), caller).refusal
}

const perSecond = (messages: number, burst: number, bytes = 0) => ({
  'messages-per-second': messages,
  burst,
  'bytes-per-second': bytes,
})

test('a limit is named in the refusal, with the time after which it makes sense to try again', () => {
  const clock = new TestClock()
  const guards = limited({ 'per-client': perSecond(0.5 * 4, 1) }, clock)
  assert.equal(send(guards), null)
  const { reason, ...refusal } = send(guards) ?? assert.fail()
  assert.deepEqual(refusal, { rule: 'rate-limited', guard: 'rate', limit: 'per-client:c1', retryAfterS: 1 })
  assert.match(reason, /per-client:c1/)
})

test('trying again after retryAfterS goes through', () => {
  const clock = new TestClock()
  const guards = limited({ 'per-client': perSecond(1, 3, 100) }, clock)
  for (const bytes of [3_072, 1, 500]) {
    const refusal = send(guards, bytes)
    if (!refusal) continue
    clock.nowMs += (refusal.retryAfterS ?? assert.fail()) * 1_000 - 1_000
    assert.notEqual(send(guards, bytes), null)
    clock.nowMs += 1_000
    assert.equal(send(guards, bytes), null)
  }
})

test('the first limit that fails is named: global, per-client, per-topic in file order, messages before bytes', () => {
  const guards = limited({
    global: perSecond(1, 4),
    'per-client': perSecond(1, 3),
    'per-topic': [
      { topic: 'a/#', limit: perSecond(1, 2) },
      { topic: 'a/b', limit: perSecond(1, 1) },
    ],
  })
  const limits = Array.from({ length: 2 }, () => send(guards, 1, { topic: 'a/b' })?.limit)
  assert.deepEqual(limits, [undefined, 'per-topic:a/b'])
  assert.equal(send(guards, 1, { topic: 'a/c' }), null)
  assert.equal(send(guards, 1, { topic: 'a/b' })?.limit, 'per-topic:a/#')
  assert.equal(send(guards, 1, { topic: 'x' }), null)
  assert.equal(send(guards, 1, { topic: 'a/b' })?.limit, 'per-client:c1')
  assert.equal(send(guards, 1, { topic: 'x' }, { clientId: 'c2' }), null)
  assert.equal(send(guards, 1, { topic: 'a/b' }, { clientId: 'c1' })?.limit, 'global')
})

test('a refused message pays nothing anywhere', () => {
  const guards = limited({ 'per-client': perSecond(1, 2), 'per-topic': [{ topic: 'x', limit: perSecond(1, 1) }] })
  assert.equal(send(guards, 1, { topic: 'x' }), null)
  for (let i = 0; i < 10; i++) assert.equal(send(guards, 1, { topic: 'x' })?.limit, 'per-topic:x')
  assert.equal(send(guards, 1, { topic: 'y' }), null)
})

test('the wait is the longest of the limits that fail', () => {
  const guards = limited({ global: perSecond(10, 1), 'per-client': { ...perSecond(0, 1, 10) } })
  assert.equal(send(guards, 1_024), null)
  const refusal = send(guards, 1_024) ?? assert.fail()
  assert.equal(refusal.limit, 'global')
  assert.equal(refusal.retryAfterS, 103, '1,024 bytes at 10 a second')
})

test('bytes cost at least one, topic and header nothing; more than the capacity never goes through', () => {
  const clock = new TestClock()
  const guards = limited({ 'per-client': perSecond(0, 1, 10) }, clock)
  const refusal = send(guards, 1_025) ?? assert.fail()
  assert.equal(refusal.retryAfterS, undefined)
  assert.equal(send(guards, 1_024, { topic: 'a'.repeat(5_000) }), null)
  assert.notEqual(send(guards, 0), null)
  clock.nowMs = 100
  assert.equal(send(guards, 0), null)
  assert.notEqual(send(guards, 0), null)
})

test('the room for bytes is the largest of burst, rate and what the inspection lets through', () => {
  const capacity = (inspection: unknown, bytesPerSecond: number) => {
    const clock = new TestClock()
    const document = { 'rate-limit': { enabled: true, global: perSecond(0, 2, bytesPerSecond) }, inspection }
    const guards = guardsOf(document, { clock })
    const fits = (bytes: number) => guards.rateLimiter.check('t', bytes, {}, 0) === null
    return [2_048, 5_000, 9_000]
      .filter((bytes) => {
        clock.nowMs += 1e9
        return guards.rateLimiter.check('t', bytes, {}, clock.nowMs) === null || fits(bytes)
      })
      .at(-1)
  }
  assert.equal(capacity({}, 1_000), 2_048)
  assert.equal(capacity({}, 5_000), 5_000)
  assert.equal(capacity({ enabled: true, 'max-payload-size': 9_000 }, 1_000), 9_000)
  assert.equal(capacity({ enabled: false, 'max-payload-size': 9_000 }, 1_000), 2_048)
  assert.equal(capacity({ enabled: true, 'max-payload-size': 0 }, 1_000), 2_048)
})

test('a Will and a subscription are not charged', () => {
  const guards = limited({ global: perSecond(1, 1) })
  for (let i = 0; i < 5; i++) {
    assert.equal(guards.checkPublish(message('x'), {}, { will: true }).refusal, null)
    assert.equal(guards.checkSubscribe('a', 1), 1)
  }
  assert.equal(send(guards), null)
})

test('a message that a later guard refuses has paid', () => {
  const document = {
    'rate-limit': { enabled: true, global: perSecond(1, 2) },
    qos: { enabled: true, 'max-qos': 0, downgrade: false },
  }
  const guards = guardsOf(document)
  assert.equal(send(guards, 1, { qos: 1 })?.rule, 'qos-denied')
  assert.equal(send(guards), null)
  assert.equal(send(guards)?.rule, 'rate-limited')
})

test('keys: client id, user name or address; one that is missing is anonymous', () => {
  const callers: Caller[] = [{ clientId: 'a', username: 'u', ip: '1.2.3.4' }, {}]
  for (const [keyBy, names] of [
    ['client_id', ['per-client:a', 'per-client:anonymous']],
    ['username', ['per-client:u', 'per-client:anonymous']],
    ['client_ip', ['per-client:1.2.3.4', 'per-client:anonymous']],
  ] as const) {
    const guards = limited({ 'per-client': perSecond(1, 1), 'key-by': keyBy })
    for (const caller of callers) assert.equal(send(guards, 1, {}, caller), null)
    assert.deepEqual(
      callers.map((caller) => send(guards, 1, {}, caller)?.limit),
      names,
    )
  }
})

test('a key that is very long is kept as its digest, and is still a key of its own', () => {
  const guards = limited({ 'per-client': perSecond(1, 1) })
  const long = 'x'.repeat(60_000)
  assert.equal(send(guards, 1, {}, { clientId: `${long}1` }), null)
  assert.equal(send(guards, 1, {}, { clientId: `${long}2` }), null)
  const { limit = '' } = send(guards, 1, {}, { clientId: `${long}1` }) ?? assert.fail()
  assert.match(limit, /^per-client:sha256:[0-9a-f]{64}$/)
  assert.equal(send(guards, 1, {}, { clientId: 'y'.repeat(256) }), null)
  assert.equal(send(guards, 1, {}, { clientId: 'y'.repeat(256) })?.limit, `per-client:${'y'.repeat(256)}`)
})

test('a dry run is judged alike, and charges nothing', () => {
  const guards = limited({ global: perSecond(1, 1) })
  const dry = () => guards.checkPublish(message('x'), {}, { dryRun: true }).refusal?.limit
  assert.deepEqual([dry(), dry()], [undefined, undefined])
  assert.equal(send(guards), null)
  assert.equal(dry(), 'global')
})

test('0 a second is no limit, and no burst is a burst of one', () => {
  const free = limited({ global: perSecond(0, 1) })
  for (let i = 0; i < 1_000; i++) assert.equal(send(free), null)
  const one = limited({ global: perSecond(1, 0) })
  assert.equal(send(one), null)
  assert.notEqual(send(one), null)
})

test('a bucket refills steadily, to its capacity and no further, whatever the clock does', () => {
  const bucket = new Bucket(10, 5)
  for (let i = 0; i < 5; i++) {
    assert.equal(bucket.wait(1, 0), 0)
    bucket.take(1, 0)
  }
  assert.equal(bucket.wait(1, 0), 100)
  assert.equal(bucket.wait(1, 50), 50)
  assert.ok(Math.abs(bucket.wait(5, 499) - 1) < 1e-6)
  assert.equal(bucket.wait(5, 1e12), 0)
  assert.equal(bucket.wait(6, 1e12), Number.POSITIVE_INFINITY)
  assert.equal(bucket.wait(1, -1_000), 100, 'time that goes back gives nothing')
  assert.equal(bucket.isFull(499), false)
  assert.equal(bucket.isFull(500), true)
})

test('over any stretch of time a bucket lets through its capacity and what it refilled, and no less', () => {
  for (const rate of [1, 3, 7, 1_000]) {
    const bucket = new Bucket(rate, 4)
    let taken = 0
    for (let now = 0; now <= 10_000; now += 1) {
      while (bucket.wait(1, now) === 0) {
        bucket.take(1, now)
        taken++
      }
    }
    assert.equal(taken, 4 + 10 * rate, `${rate} a second`)
  }
})

test('full buckets are forgotten, and of the others at most 100,000 are kept, the oldest going first', () => {
  const limit = { messagesPerSecond: 1, bytesPerSecond: 0, burst: 2 }
  const table = new BucketTable(limit, 0)
  const charge = (key: string, now: number) => table.charge(key, table.of(key), 1, now)
  for (let i = 0; i < 1_000; i++) charge(`a${i}`, 0)
  assert.equal(table.size, 1_000)
  for (let i = 0; i < 500; i++) charge(`b${i}`, 5_000)
  assert.equal(table.size, 500, 'two old ones go for each new one')
  for (let i = 0; i < MAX_KEYS + 10; i++) charge(`c${i}`, 5_000)
  assert.equal(table.size, MAX_KEYS)
  assert.equal(table.of('c9').messages?.isFull(5_000), true, 'forgotten')
  assert.equal(table.of(`c${MAX_KEYS}`).messages?.isFull(5_000), false)
})

test('one that is charged again is not the oldest any more', () => {
  const table = new BucketTable({ messagesPerSecond: 1, bytesPerSecond: 0, burst: 100 }, 0)
  const charge = (key: string) => table.charge(key, table.of(key), 1, 0)
  charge('kept')
  for (let i = 0; i < MAX_KEYS - 1; i++) charge(`a${i}`)
  charge('kept')
  charge('new')
  assert.equal(table.of('kept').messages?.isFull(0), false)
  assert.equal(table.of('a0').messages?.isFull(0), true)
})

test('new guards take over the buckets of limits that stay, and fill those that change', () => {
  const clock = new TestClock()
  const document = {
    global: perSecond(1, 10),
    'per-client': perSecond(1, 1),
    'per-topic': [
      { topic: 'a', limit: perSecond(1, 1) },
      { topic: 'b', limit: perSecond(1, 1) },
    ],
  }
  const first = limited(document, clock)
  assert.equal(send(first, 1, { topic: 'a' }), null)
  assert.equal(send(first, 1, { topic: 'b' }, { clientId: 'c2' }), null)

  const same = limited({ ...document, 'per-topic': [...document['per-topic']].reverse() }, clock, first)
  assert.equal(send(same, 1, { topic: 'z' })?.limit, 'per-client:c1')
  assert.equal(send(same, 1, { topic: 'a' }, { clientId: 'c3' })?.limit, 'per-topic:a')

  const changed = limited({ ...document, 'per-client': perSecond(1, 2) }, clock, same)
  assert.equal(send(changed, 1, { topic: 'z' }), null)
  assert.equal(send(changed, 1, { topic: 'a' }, { clientId: 'c4' })?.limit, 'per-topic:a', 'the others stay')

  const otherKeys = limited({ ...document, 'key-by': 'username' }, clock, changed)
  assert.equal(send(otherKeys, 1, { topic: 'z' }), null, 'keys of another kind')
})

test('a change of the inspection moves the room for bytes of buckets that stay', () => {
  const document = (size: number) => ({
    'rate-limit': { enabled: true, global: perSecond(0, 1, 10) },
    inspection: { enabled: true, 'max-payload-size': size },
  })
  const first = guardsOf(document(2_000))
  assert.equal(send(first, 1_500), null)
  const second = guardsOf(document(4_000), {}, first)
  assert.equal(send(second, 2_500), null)
  assert.notEqual(send(second, 1), null)
})

test('both buckets of a pair are optional', () => {
  const limit = { messagesPerSecond: 0, bytesPerSecond: 0, burst: 10 }
  assert.deepEqual(createBuckets(limit, 0), { messages: null, bytes: null })
})

test('a filter of a limit matches as MQTT does', () => {
  const limit = perSecond(1, 1)
  const guards = limited({
    'per-topic': [
      { topic: '#', limit },
      { topic: 'x/#', limit },
      { topic: '+/y', limit },
    ],
  })
  assert.equal(send(guards, 1, { topic: '$SYS/y' }), null)
  assert.equal(send(guards, 1, { topic: '$SYS/y' }), null, 'a leading wildcard never matches $ topics')
  assert.equal(send(guards, 1, { topic: 'x' }), null)
  assert.equal(send(guards, 1, { topic: 'x' })?.limit, 'per-topic:#')
})
