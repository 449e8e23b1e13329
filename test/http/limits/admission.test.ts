import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { createAddressLimit } from '#src/http/limits/address-limit.ts'
import { createAdmission, type Place } from '#src/http/limits/admission.ts'
import { LimitRefusal } from '#src/http/limits/limit-refusal.ts'
import { createLimits } from '#src/http/limits/limits.ts'
import { createPressureGauge, type Pressure } from '#src/http/limits/pressure.ts'
import { createMemoryLimiter, createQuotas } from '#src/http/limits/quotas.ts'
import { createRefusedKeys } from '#src/http/limits/refused-keys.ts'
import { formatApiKey } from '#src/tenants/api-key.ts'
import { testClock } from '#test/support/deployment.ts'

const MIB = 1024 * 1024

function fill(enter: () => Place | undefined): Place[] {
  const places: Place[] = []
  for (let place = enter(); place; place = enter()) places.push(place)
  return places
}

test('a tenant that takes what it can leaves room for the next one', () => {
  const admission = createAdmission({ most: 300, pressure: () => 'none' })
  assert.equal(fill(() => admission.enter('a', 0)).length, 200)
  assert.ok(fill(() => admission.enter('b', 0)).length > 60)
})

test('while the loop is late new places are few for who has many, and there for who has none', () => {
  let pressure: Pressure = 'none'
  const admission = createAdmission({ most: 4096, pressure: () => pressure })
  for (let i = 0; i < 1000; i++) assert.ok(admission.enter('a', 0))
  pressure = 'late'
  assert.equal(admission.enter('a', 0), undefined)
  assert.equal(fill(() => admission.enter('b', 0)).length, 8)
  pressure = 'none'
  assert.ok(admission.enter('a', 0))
})

test('while the heap is full a few requests in all are let in, and never none', () => {
  const admission = createAdmission({ most: 4096, pressure: () => 'heap' })
  let tenants = 0
  const places = fill(() => admission.enter(`tenant ${tenants++ % 10}`, 0))
  assert.equal(places.length, 32)
  places[0]?.leave()
  assert.ok(admission.enter('another', 0))
})

test('bodies take room by their size: what was announced, then what came, until the request has been answered', () => {
  const admission = createAdmission({ most: 4096, pressure: () => 'none', bodyBytes: 12 * MIB })
  const held = fill(() => admission.enter('a', MIB))
  assert.equal(held.length, 8, 'two thirds')
  assert.ok(admission.enter('a', 0), 'a request without a body has its place')
  held[0]?.bodyIs(1000) // chunked: the largest was taken for it
  assert.ok(admission.enter('a', MIB - 1000))
  assert.ok(admission.enter('b', MIB))
  for (const place of held) place.leave()
  assert.equal(admission.taken, 3)
})

test('a refused body gives its place back', () => {
  const admission = createAdmission({ most: 10, pressure: () => 'none', bodyBytes: MIB })
  for (let i = 0; i < 100; i++) assert.equal(admission.enter('a', 2 * MIB), undefined)
  assert.equal(admission.taken, 0)
})

test('the gauge says heap above the watermark, late after turns that keep being late, and none again', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let heap = 0.1
  let slowMs = 0
  let nowMs = 0
  const gauge = createPressureGauge({ monotonic: () => nowMs, heapUse: () => heap })
  const turn = () => {
    nowMs += 50 + slowMs
    t.mock.timers.tick(50)
  }
  try {
    turn()
    assert.equal(gauge.pressure, 'none')
    slowMs = 100
    turn()
    turn()
    assert.equal(gauge.pressure, 'none', 'a pause or two are no overload')
    turn()
    assert.equal(gauge.pressure, 'late')
    slowMs = 0
    turn()
    assert.equal(gauge.pressure, 'late', 'one good turn is no proof')
    for (let i = 0; i < 5; i++) turn()
    assert.equal(gauge.pressure, 'none')
    const seen = new Set<Pressure>()
    for (let i = 0; i < 20; i++) {
      slowMs = i % 2 === 0 ? 300 : 0 // a commit brings hundreds of answers at once, and the next one is waited for
      turn()
      if (i > 10) seen.add(gauge.pressure)
    }
    assert.deepEqual([...seen], ['late'])
    slowMs = 0
    for (let i = 0; i < 6; i++) turn()
    assert.equal(gauge.pressure, 'none')
    heap = 0.9
    turn()
    assert.equal(gauge.pressure, 'heap')
    heap = 0.5
    turn()
    assert.equal(gauge.pressure, 'none')
  } finally {
    gauge.close()
  }
})

const settled = () => new Promise((resolve) => setImmediate(resolve))

test('an address that keeps failing is refused, but for keys that were right before, until its minute ends', async () => {
  const clock = testClock()
  const limit = createAddressLimit({ monotonic: clock.monotonic, failures: 3 })
  const right = `qs_live_${'a'.repeat(26)}_secret`
  limit.succeeded(right)
  for (let i = 0; i < 3; i++) limit.failed('192.0.2.1')
  await settled()
  assert.equal(limit.waitS('192.0.2.1', 'guess'), undefined)
  limit.failed('192.0.2.1')
  await settled()
  assert.equal(limit.waitS('192.0.2.1', 'guess'), 60)
  assert.equal(limit.waitS('192.0.2.1', undefined), 60)
  assert.equal(limit.waitS('192.0.2.1', right), undefined)
  assert.equal(limit.waitS('192.0.2.2', 'guess'), undefined)
  clock.advance(60_001)
  assert.equal(limit.waitS('192.0.2.1', 'guess'), undefined)
})

test('from a refused address keys that could be right may still be tried, a few a second: who shares it is not locked out', async () => {
  const clock = testClock()
  const limit = createAddressLimit({ monotonic: clock.monotonic, failures: 1 })
  for (let i = 0; i < 2; i++) limit.failed('192.0.2.1')
  await settled()
  const key = () => formatApiKey('live', newId('key'), randomBytes(32)).reveal()
  assert.equal(limit.waitS('192.0.2.1', `${key().slice(0, -1)}!`), 60, 'what is no key is not tried')
  for (let i = 0; i < 20; i++) assert.equal(limit.waitS('192.0.2.1', key()), undefined)
  assert.equal(limit.waitS('192.0.2.1', key()), 60)
  limit.failed('192.0.2.1')
  await settled()
  assert.equal(limit.waitS('192.0.2.1', key()), 60)
  clock.advance(1_001)
  assert.equal(limit.waitS('192.0.2.1', key()), undefined)
})

test('the addresses of an IPv6 /64 count as one, those of the next do not', async () => {
  const limit = createAddressLimit({ monotonic: () => 1, failures: 1 })
  for (const address of ['2001:db8::1', '2001:db8::2']) limit.failed(address)
  await settled()
  assert.equal(limit.waitS('2001:db8:0:0:ffff::9', 'guess'), 60)
  assert.equal(limit.waitS('2001:db8:0:1::1', 'guess'), undefined)
})

test('beyond ten thousand addresses the others count together, so that memory is bounded', async () => {
  const limit = createAddressLimit({ monotonic: () => 1, failures: 1 })
  for (let i = 0; i < 10_000; i++) limit.failed(`10.0.${i >> 8}.${i & 255}`)
  limit.failed('192.0.2.1')
  limit.failed('192.0.2.2')
  await settled()
  assert.equal(limit.waitS('192.0.2.3', 'guess'), 60)
  assert.equal(limit.waitS('10.0.0.1', 'guess'), undefined)
})

test('among many requests a key that finds no place is refused by its text for a moment, and no other key is', async () => {
  const clock = testClock()
  const limits = createLimits({
    quotas: createQuotas({ key: 1e6, tenant: 1e6 }, createMemoryLimiter),
    admission: createAdmission({ most: 600, pressure: () => 'none' }),
    addresses: createAddressLimit(clock),
    refusedKeys: createRefusedKeys(clock),
    countLimited: () => undefined,
  })
  const [busy, other] = ['a', 'b'].map((tenantId) => ({ tenantId, keyId: `key of ${tenantId}` }))
  if (!busy || !other) throw new Error('there are two')
  const isBusy = { code: 'server.busy', retryAfterS: 1 }
  for (let i = 0; i < 400; i++) await limits.admit(busy, 'busy', 1, 0)
  assert.equal(limits.refuseAgain('busy'), undefined)
  await assert.rejects(limits.admit(busy, 'busy', 1, 0), isBusy)
  assert.equal(limits.refuseAgain('busy')?.code, 'server.busy')
  assert.equal(limits.refuseAgain('other'), undefined)
  await limits.admit(other, 'other', 1, 0)
  clock.advance(11)
  assert.equal(limits.refuseAgain('busy'), undefined)
})

test('a key that has used up its quota is known by its whole text, until its window ends', () => {
  const clock = testClock()
  const keys = createRefusedKeys(clock)
  const refused = { consumer: { tenantId: 'a', keyId: 'k' }, refusal: new LimitRefusal('rate.limited', 'Too many.') }
  assert.equal(keys.find('secret'), undefined)
  keys.remember('secret', refused, 700)
  clock.advance(100)
  keys.remember('another', refused, 900)
  assert.equal(keys.find('secret')?.consumer.keyId, 'k')
  for (const other of ['Secret', 'secre', 'secret ', '']) assert.equal(keys.find(other), undefined)
  clock.advance(601)
  assert.equal(keys.find('secret'), undefined)
  assert.ok(keys.find('another'))
  clock.advance(300)
  assert.equal(keys.find('another'), undefined)
})
