import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#src/core/clock.ts'
import { newId } from '#src/core/ids.ts'
import type { Integration } from '#src/integrations/integration.ts'
import { createDial } from '#src/outbound/dial.ts'
import { mostInASecond, startBrokerFarm } from '#test/support/broker-farm.ts'
import { startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { createMessaging, integrationAt, refusalOf, until } from './harness.ts'

/** A dialler that counts, and a port on which nobody listens. */
async function deadPort() {
  const dial = createDial({ allow: ['127.0.0.0/8'], clock: systemClock })
  let dials = 0
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return {
    port,
    dials: () => dials,
    dial: ((target, options) => {
      dials++
      return dial(target, options)
    }) as typeof dial,
  }
}

test('sixty integrations of one tenant on one dead broker make the attempts of one, and all hear that it is not reached', async () => {
  const dead = await deadPort()
  await using messaging = createMessaging({ dial: dead.dial, maxConnections: 100, random: () => 1 })
  const tenantId = newId('ten')
  const integrations = Array.from({ length: 60 }, () => integrationAt(messaging, '127.0.0.1', dead.port, tenantId))
  const all = () => Promise.all(integrations.map((one) => refusalOf(messaging.send(one, { topic: 'a' }))))
  const first = await all()
  assert.deepEqual([...new Set(first.map(({ code }) => code))], ['broker.unreachable'])
  assert.ok(dead.dials() >= 1 && dead.dials() <= 8, `${dead.dials()} at first: those that began together`)
  const before = dead.dials()
  const second = await all()
  assert.deepEqual([...new Set(second.map(({ code }) => code))], ['broker.unreachable'])
  assert.equal(dead.dials() - before, 1, 'one attempt in a slot, whose failure answers all')
  assert.equal(messaging.pool.stats().connecting, 0)
})

test('what one tenant finds out does not answer another: its own attempt does', async () => {
  const dead = await deadPort()
  await using messaging = createMessaging({ dial: dead.dial, random: () => 0 })
  const mine = integrationAt(messaging, '127.0.0.1', dead.port)
  for (let i = 0; i < 7; i++) await refusalOf(messaging.send(mine, { topic: 'a' }))
  assert.equal(dead.dials(), 5, 'the breaker is open')
  const theirs = integrationAt(messaging, '127.0.0.1', dead.port)
  const started = performance.now()
  assert.equal((await refusalOf(messaging.send(theirs, { topic: 'a' }))).code, 'broker.unreachable')
  assert.equal(dead.dials(), 6)
  assert.ok(performance.now() - started < patience(1_000), 'and it did not wait for what the other has failed at')
})

test('however often a broker was not reached, it serves within five seconds of its return', async () => {
  const dead = await deadPort()
  let aheadMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + aheadMs }
  await using messaging = createMessaging({ clock, dial: dead.dial, random: () => 0 })
  const integration = integrationAt(messaging, '127.0.0.1', dead.port)
  for (let i = 0; i < 20; i++) {
    assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'broker.unreachable')
    aheadMs += 60_000
  }
  assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'broker.unreachable')
  const before = dead.dials()
  assert.ok(before >= 20, `${before} attempts`)
  await refusalOf(messaging.send(integration, { topic: 'a' }))
  assert.equal(dead.dials(), before, 'the breaker is open')
  const broker = await startFakeBroker({ port: dead.port })
  try {
    const upAt = performance.now()
    const isBack = () =>
      messaging.send(integration, { topic: 'a' }).then(
        ({ outcome }) => outcome === 'acknowledged',
        () => delay(20, false),
      )
    while (!(await isBack())) assert.ok(performance.now() - upAt < patience(5_000), 'not back')
    assert.equal(broker.connections.length, 1)
  } finally {
    await broker.stop()
  }
})

test('a lone connect waits for nobody', async () => {
  const farm = await startBrokerFarm(1)
  try {
    await using messaging = createMessaging()
    const started = performance.now()
    await messaging.send(integrationAt(messaging, '127.0.0.1', 1), { topic: 'a' }).catch(() => {})
    const integration = integrationAt(messaging, farm.hosts[0] ?? '', farm.port)
    await messaging.send(integration, { topic: 'a' })
    assert.ok(performance.now() - started < patience(500))
  } finally {
    await farm.close()
  }
})

test('G11, P12: thirty brokers that restart under sixty connections in use meet fewer than 50 attempts in any second', async () => {
  const farm = await startBrokerFarm(30)
  try {
    await using messaging = createMessaging({ maxConnections: 200 })
    const tenants = Array.from({ length: 20 }, () => newId('ten'))
    const integrations = Array.from({ length: 60 }, (_, i) =>
      integrationAt(messaging, farm.hosts[i % 30] ?? '', farm.port, tenants[i % 20]),
    )
    await Promise.all(integrations.map((one) => messaging.send(one, { topic: 'a' })))
    assert.equal(farm.sessions, 60)
    let running = true
    const back = new Set<Integration>()
    const codes = new Set<string>()
    const using = integrations.map(async (one) => {
      while (running) {
        await messaging.send(one, { topic: 'a' }).then(
          () => back.add(one),
          (err: { code: string }) => codes.add(err.code),
        )
        await delay(20)
      }
    })
    await delay(50)
    farm.arrivals.length = 0
    farm.down()
    assert.equal(messaging.pool.stats().attempts, 60)
    await delay(1_500)
    back.clear()
    const upAt = performance.now()
    farm.up()
    await until(() => back.size === 60)
    const backMs = performance.now() - upAt
    running = false
    await Promise.all(using)
    const most = mostInASecond(farm.arrivals)
    assert.ok(farm.arrivals.length > 60, 'attempts were made while the brokers were down')
    assert.ok(most < 50, `${most} attempts in a second`)
    assert.ok(backMs < 70_000, `${backMs} ms`)
    const rowsOf = (name: string) => messaging.audit.rows.filter(({ action }) => action === name).length
    assert.equal(rowsOf('proxy.publish.outcome'), rowsOf('proxy.publish.intent'), 'each has its outcome on record')
    for (const code of codes) assert.match(code, /^(outcome\.unknown|broker\.unreachable)$/)
  } finally {
    await farm.close()
  }
})

test('P10: 100 integrations on one broker have 100 client ids, and those of a second process 100 others', async () => {
  const farm = await startBrokerFarm(1)
  try {
    await using messaging = createMessaging({ maxConnections: 200, connectTimeoutMs: 20_000 })
    const host = farm.hosts[0] ?? ''
    const script = new URL('connect-many.ts', import.meta.url)
    const child = spawn(process.execPath, [script.pathname, host, String(farm.port), '100'], { stdio: 'inherit' })
    const exited = once(child, 'exit')
    const integrations = Array.from({ length: 100 }, () => integrationAt(messaging, host, farm.port))
    await Promise.all(
      integrations.map((one) => messaging.send(one, { topic: 'a', deadlineMs: messaging.clock.monotonic() + 25_000 })),
    )
    assert.deepEqual(await exited, [0, null])
    assert.equal(farm.clientIds.length, 200)
    assert.equal(new Set(farm.clientIds).size, 200)
    for (const id of farm.clientIds) assert.match(id, /^sealwire-[0-9a-f]{8}-[0-9a-f]{32}$/)
    assert.equal(new Set(farm.clientIds.map((id) => id.split('-')[1])).size, 2, 'one name for each process')
  } finally {
    await farm.close()
  }
})
