import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { RateLimiterRes } from 'rate-limiter-flexible'
import { bodyUnits, costUnits } from '#src/http/limits/cost-units.ts'
import { createMemoryLimiter, createQuotas, type Limiter } from '#src/http/limits/quotas.ts'
import { rateLimitHeaders } from '#src/http/limits/rate-limit-headers.ts'
import { createSharedLimiters } from '#src/http/limits/shared-quota-store.ts'
import { operations } from '#src/http/operations.ts'
import { testDatabase } from '#test/support/database.ts'
import { countingDb } from '#test/support/deployment.ts'

const a1 = { tenantId: 'ten_a', keyId: 'key_1' }
const a2 = { tenantId: 'ten_a', keyId: 'key_2' }
const b1 = { tenantId: 'ten_b', keyId: 'key_3' }

test('every operation has its price, and nothing else has one', () => {
  assert.deepEqual(Object.keys(costUnits).sort(), operations.map(({ id }) => id).sort())
  for (const units of Object.values(costUnits)) assert.ok(Number.isInteger(units) && units >= 1 && units <= 100)
})

test('a body adds a tenth of a unit for each message of a batch, and four for what waits', () => {
  const batch = (n: number) => ({ operation: 'publish', payload: { messages: Array(n).fill({}) } })
  assert.equal(bodyUnits('proxy.outbound', { operation: 'publish', payload: { message: 'x' } }), 0)
  assert.deepEqual(
    [1, 10, 11, 1000].map((n) => bodyUnits('proxy.outbound', batch(n))),
    [1, 1, 2, 100],
  )
  for (const operation of ['subscribe', 'request'])
    assert.equal(bodyUnits('proxy.outbound', { operation, payload: {} }), 4)
  assert.equal(bodyUnits('vault.seal', {}), 0)
})

test('the headers are lists of strings with integers, as the draft has them', () => {
  const states = [
    { name: 'key', left: 3, resetS: 1 },
    { name: 'tenant', left: 0, resetS: 2 },
  ] as const
  assert.deepEqual(rateLimitHeaders({ key: 10, tenant: 20 }, states), {
    'ratelimit-policy': '"key";q=10;w=1, "tenant";q=20;w=1',
    ratelimit: '"key";r=3;t=1, "tenant";r=0;t=2',
  })
})

test('units within a quota pass, the one beyond is refused, and only that is the first', async () => {
  const quotas = createQuotas({ key: 10, tenant: 1000 }, createMemoryLimiter)
  const whole = await quotas.consume(a1, 10)
  assert.deepEqual(
    [whole.isWithin, whole.states.map(({ name, left }) => [name, left])],
    [
      true,
      [
        ['key', 0],
        ['tenant', 990],
      ],
    ],
  )
  const beyond = [await quotas.consume(a1, 1), await quotas.consume(a1, 1)]
  assert.deepEqual(
    beyond.map(({ isWithin, isFirst }) => [isWithin, isFirst]),
    [
      [false, true],
      [false, false],
    ],
  )
  assert.equal(beyond[0]?.states.at(-1)?.name, 'key')
  assert.ok((await quotas.consume(a2, 10)).isWithin, 'the other key of the tenant has its own')
})

test('the quota of a tenant is that of its keys together, and touches no other tenant', async () => {
  const quotas = createQuotas({ key: 10, tenant: 15 }, createMemoryLimiter)
  assert.ok((await quotas.consume(a1, 10)).isWithin)
  const beyond = await quotas.consume(a2, 10)
  assert.deepEqual([beyond.isWithin, beyond.states.at(-1)?.name], [false, 'tenant'])
  assert.ok((await quotas.consume(b1, 10)).isWithin)
})

/** What a key that asks ten times its quota is given, in each tenth of a second. */
async function givenToFlood(seconds: number) {
  let nowMs = 0
  const limiters = { counted: 0, untilMs: 0 }
  const createLimiter = (): Limiter => ({
    async consume(_key, units) {
      if (nowMs >= limiters.untilMs) Object.assign(limiters, { counted: 0, untilMs: nowMs + 1000 })
      limiters.counted += units
      const res = new RateLimiterRes(Math.max(0, 200 - limiters.counted), limiters.untilMs - nowMs, limiters.counted)
      if (limiters.counted > 200) throw res
      return res
    },
  })
  const quotas = createQuotas(
    { key: 200, tenant: 200 },
    (name, quota) => (name === 'key' ? createLimiter() : createMemoryLimiter(name, 10 * quota)),
    () => nowMs,
  )
  const given = Array<number>(10 * seconds).fill(0)
  let refusedUntilMs = 0
  let firsts = 0
  for (let i = 0; i < 2000 * seconds; i++) {
    nowMs = i / 2
    if (nowMs < refusedUntilMs) continue // by the text of its key
    const { isWithin, isFirst, endsMs } = await quotas.consume(a1, 1)
    const tenth = Math.floor(nowMs / 100)
    if (isWithin) given[tenth] = (given[tenth] ?? 0) + 1
    else refusedUntilMs = nowMs + endsMs
    if (isFirst) firsts++
  }
  return { given, firsts }
}

test('a flood is given its quota once at once, and then evenly; one refusal a second is the first', async () => {
  const { given, firsts } = await givenToFlood(5)
  assert.deepEqual(given.slice(0, 10), [200, ...Array(9).fill(0)])
  const later = given.slice(10)
  assert.ok(Math.max(...later) <= 22, `${Math.max(...later)} in a tenth of a second`)
  const each = [0, 1, 2, 3].map((second) => later.slice(10 * second, 10 * second + 10).reduce((sum, n) => sum + n, 0))
  for (const sum of each) assert.ok(sum >= 190 && sum <= 202, `${sum} in a second`)
  assert.ok(firsts >= 1 && firsts <= 10, `${firsts} first refusals`)
})

test('who was idle has a second of its quota at once again', async () => {
  let nowMs = 0
  const quotas = createQuotas(
    { key: 10, tenant: 1000 },
    () => createMemoryLimiter('key', 1e9),
    () => nowMs,
  )
  const ask = async (units: number) => (await quotas.consume(a1, units)).isWithin
  assert.deepEqual([await ask(10), await ask(1)], [true, false])
  nowMs += 500
  assert.deepEqual([await ask(5), await ask(1)], [true, false])
  const large = await quotas.consume(a1, 5)
  assert.deepEqual([large.isWithin, large.endsMs], [false, 100], 'a single unit comes sooner than five')
  nowMs += 60_000
  assert.deepEqual([await ask(10), await ask(1)], [true, false])
})

test('a quota that the operator gave a tenant is in the place of both defaults', async () => {
  const quotas = createQuotas({ key: 10, tenant: 10 }, createMemoryLimiter)
  const given = { ...a1, rateLimit: 50 }
  const { isWithin, quotas: values } = await quotas.consume(given, 50)
  assert.deepEqual([isWithin, values], [true, { key: 50, tenant: 50 }])
  assert.ok(!(await quotas.consume(given, 1)).isWithin)
})

test('two processes over one PostgreSQL share a quota, and lease it in parts', async () => {
  const database = await testDatabase()
  const db = countingDb(database.db)
  const alone: unknown[] = []
  const deps = { db, monotonic: () => performance.now(), countsAlone: (err: unknown) => alone.push(err) }
  try {
    const processes = [1, 2].map(() => createQuotas({ key: 2000, tenant: 100_000 }, createSharedLimiters(deps)))
    let within = 0
    const started = performance.now()
    for (let i = 0; i < 3000 && performance.now() - started < 900; i++)
      if ((await processes[i % 2]?.consume(a1, 1))?.isWithin) within++
    assert.deepEqual(alone, [])
    assert.ok(within > 1000, `${within} within`)
    // A window may have turned on the way, on a slow machine.
    assert.ok(within <= 2000 * (1 + Math.ceil((performance.now() - started) / 1000)), `${within} within 2000`)
    assert.ok(db.statements < 200, `${db.statements} statements for ${within} requests`)
  } finally {
    await database.drop()
  }
})

for (const how of ['fails', 'hangs'] as const) {
  test(`when the database ${how}, each process holds its callers to the quota alone, and asks again a second later`, async () => {
    let asked = 0
    let nowMs = 0
    const told: unknown[] = []
    const query = () => {
      asked++
      return how === 'fails' ? Promise.reject(new Error('away')) : new Promise<never>(() => undefined)
    }
    const limiters = createSharedLimiters({
      db: { query },
      monotonic: () => nowMs,
      countsAlone: (err) => told.push(err),
    })
    const quotas = createQuotas({ key: 200, tenant: 1000 }, limiters)
    const answers = []
    for (let i = 0; i < 300; i++) answers.push((await quotas.consume(a1, 1)).isWithin)
    assert.equal(answers.filter(Boolean).length, 200, 'neither closed nor open')
    assert.equal(asked, 1)
    assert.equal(told.length, 1)
    nowMs += 1001
    await quotas.consume(b1, 1)
    assert.equal(asked, 2)
    await delay(0)
  })
}
