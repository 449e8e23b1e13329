import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { createRouteGates, type Route, routeOf } from '#src/messaging/route-gates.ts'
import { refusalOf } from './harness.ts'

const down = new AppError('broker.unreachable', 'Gone.')
const route: Route = { key: 'a', tenantId: 't', addresses: ['broker:1883'] }

function gatesAt({ random = 0 } = {}) {
  const time = { nowMs: 0 }
  const clock = { now: () => time.nowMs, monotonic: () => time.nowMs }
  return { gates: createRouteGates({ clock, random: () => random, retryFrom: () => 0 }), time }
}

test('a healthy route lets everybody through at once', async () => {
  const { gates } = gatesAt()
  const attempts = await Promise.all(Array.from({ length: 100 }, () => gates.pass(route, 1_000)))
  for (const attempt of attempts) attempt.reached()
  assert.ok(gates.passNow(route))
})

test('a thousand that wait for a broker in doubt make one attempt, and its failure answers all of them', async () => {
  const { gates } = gatesAt()
  gates.enter(route)(true)
  const attempts: unknown[] = []
  const codes: string[] = []
  const asked = Array.from({ length: 1_000 }, () =>
    gates.pass(route, 60_000).then(
      (attempt) => {
        attempts.push(attempt)
        setImmediate(() => attempt.failed(down))
      },
      (err: AppError) => codes.push(err.code),
    ),
  )
  await Promise.all(asked)
  assert.equal(attempts.length, 1)
  assert.equal(codes.length, 999)
  assert.deepEqual([...new Set(codes)], ['broker.unreachable'])
})

test('its success lets all of them through', async () => {
  const { gates } = gatesAt()
  gates.enter(route)(true)
  let attempts = 0
  await Promise.all(
    Array.from({ length: 1_000 }, () =>
      gates.pass(route, 60_000).then((attempt) => {
        attempts++
        setImmediate(() => attempt.reached())
      }),
    ),
  )
  assert.equal(attempts, 1_000)
})

test('one that gives up without having tried passes its turn on to the next', async () => {
  const { gates } = gatesAt()
  gates.enter(route)(true)
  const first = await gates.pass(route, 1_000)
  const second = gates.pass(route, 1_000)
  first.gaveUp()
  first.failed(down)
  ;(await second).reached()
  assert.ok(gates.passNow(route), 'what was said after it had given up did not count')
})

test('attempts that were on their way together when the broker went count as one failure', async () => {
  const { gates, time } = gatesAt({ random: 1 })
  const attempts = await Promise.all(Array.from({ length: 16 }, () => gates.pass(route, 1_000)))
  time.nowMs = 10
  for (const attempt of attempts) attempt.failed(down)
  gates.assertOpen(route)
})

test('five failures one after the other open the breaker: refused at once, and then one attempt for each slot', async () => {
  const { gates, time } = gatesAt()
  for (let i = 0; i < 5; i++) {
    time.nowMs += 1
    ;(await gates.pass(route, 1_000_000)).failed(down)
  }
  assert.throws(() => gates.assertOpen(route), { code: 'broker.unreachable', retryAfterS: 2 })
  assert.equal((await refusalOf(gates.pass(route, 1_000_000))).code, 'broker.unreachable')
  assert.equal(gates.passNow(route), undefined)
  time.nowMs += 2_000
  const probe = await gates.pass(route, 1_000_000)
  const waiting = gates.pass(route, 1_000_000)
  probe.failed(down)
  assert.equal((await refusalOf(waiting)).code, 'broker.unreachable')
  assert.throws(() => gates.assertOpen(route), { retryAfterS: 2 }, 'and never more than four seconds')
  gates.force(route).reached()
  assert.ok(gates.passNow(route), 'a connection test that reaches the broker clears it')
})

test('routes: tenants never share one, integrations share one only if they agree in all but the login', () => {
  const tls = {
    serverName: null,
    alpn: null,
    minVersion: '1.2',
    requirePqc: false,
    caCert: undefined,
    client: undefined,
  }
  const target = {
    hosts: [{ hostname: 'Broker.example', port: 8883 }],
    protocol: 'mqtts',
    wsPath: '/mqtt',
    tls,
  } as unknown as Parameters<typeof routeOf>[1]
  const [mine, theirs] = [newId('ten'), newId('ten')]
  const { key, addresses } = routeOf(mine, target)
  assert.deepEqual(addresses, ['broker.example:8883'])
  const client = { certificate: 'canary', key: 'canary' }
  const withLogin = { ...target, tls: { ...target.tls, client } } as unknown as typeof target
  assert.equal(routeOf(mine, withLogin).key, key)
  assert.ok(!routeOf(mine, withLogin).key.includes('canary'))
  const others = [
    routeOf(theirs, target),
    routeOf(mine, { ...target, hosts: [{ hostname: 'Broker.example', port: 8884 }] }),
    routeOf(mine, { ...target, hosts: [{ hostname: 'other.example', port: 8883 }] }),
    routeOf(mine, { ...target, protocol: 'wss' }),
    routeOf(mine, { ...target, tls: { ...target.tls, caCert: 'pem' } }),
  ]
  assert.equal(new Set([key, ...others.map((one) => one.key)]).size, 6)
})

test('what one tenant finds out about a broker is not felt by another', async () => {
  const { gates, time } = gatesAt()
  const [mine, theirs]: [Route, Route] = [
    { ...route, key: 'mine' },
    { ...route, key: 'theirs' },
  ]
  for (let i = 0; i < 5; i++) {
    time.nowMs += 1
    ;(await gates.pass(mine, 1_000_000)).failed(down)
  }
  assert.throws(() => gates.assertOpen(mine))
  gates.assertOpen(theirs)
  assert.ok(gates.passNow(theirs))
})

test('an attempt that still waited when the broker came into doubt is that of another to make', async () => {
  const { gates } = gatesAt()
  const [first, second] = [await gates.pass(route, 1_000), await gates.pass(route, 1_000)]
  const forced = gates.force(route)
  assert.equal(second.isOvertaken, false)
  first.failed(down)
  assert.equal(second.isOvertaken, true)
  assert.equal(forced.isOvertaken, false)
  second.gaveUp()
  const probe = await gates.pass(route, 1_000)
  assert.equal(probe.isOvertaken, false)
  probe.reached()
  assert.ok(gates.passNow(route))
})

test('a lost connection brings its broker into doubt only when it was the last', () => {
  const { gates } = gatesAt()
  const [first, second] = [gates.enter(route), gates.enter(route)]
  first(true)
  assert.ok(gates.passNow(route))
  second(true)
  assert.equal(gates.passNow(route), undefined)
  const { gates: others } = gatesAt()
  others.enter(route)(false)
  assert.ok(others.passNow(route), 'one that we ended says nothing')
})
