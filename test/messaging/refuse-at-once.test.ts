import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemClock } from '#src/core/clock.ts'
import { newId } from '#src/core/ids.ts'
import { RememberedFailure } from '#src/messaging/connect-gate.ts'
import { createMessaging, integrationAt, refusalOf } from './harness.ts'

/** A clock that can be put forward, over timers that keep their own time. */
function movingClock() {
  let passedMs = 0
  const clock = { now: systemClock.now, monotonic: () => systemClock.monotonic() + passedMs }
  const pass = (ms: number) => {
    passedMs += ms
  }
  return { clock, pass }
}

/** A port whose connections are closed at once, or held without a word. */
async function startPort() {
  let [accepted, silent] = [0, false]
  const server = createServer((socket) => {
    accepted++
    socket.on('error', () => undefined)
    if (!silent) socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    fallSilent() {
      silent = true
    },
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

/** Publishes until the breaker answers. */
async function openBreaker(
  messaging: ReturnType<typeof createMessaging>,
  integration: ReturnType<typeof integrationAt>,
) {
  for (let i = 0; messaging.counted.length === 0; i++) {
    assert.ok(i < 20, 'the breaker does not open')
    await refusalOf(messaging.send(integration, { topic: 'a' }))
  }
}

test('an open breaker answers publish, batch and collect at once: nothing is dialled, no row is written, each is counted', async () => {
  await using port = await startPort()
  await using messaging = createMessaging({ random: () => 0 })
  const integration = integrationAt(messaging, '127.0.0.1', port.port)
  await openBreaker(messaging, integration)
  const before = { rows: messaging.audit.rows.length, counted: messaging.counted.length, dials: port.accepted() }
  assert.ok(before.rows > 0, 'what was tried is on record')
  const { refused } = messaging.pool.stats()
  const refusals = [
    await refusalOf(messaging.send(integration, { topic: 'a' })),
    await refusalOf(messaging.gather(integration, { topic: 'a' })),
  ]
  for (const refusal of refusals) {
    assert.ok(refusal instanceof RememberedFailure)
    assert.equal(refusal.code, 'broker.unreachable')
    assert.ok((refusal.retryAfterS ?? 0) >= 1)
  }
  const { items } = await messaging.sendBatch(integration, ['1', '2'])
  assert.deepEqual(
    items.map(({ outcome, error }) => [outcome, error?.code]),
    Array(2).fill(['unavailable', 'broker.unreachable']),
  )
  assert.equal(messaging.audit.rows.length, before.rows)
  assert.deepEqual(messaging.counted.slice(before.counted), Array(3).fill('broker.unreachable'))
  assert.equal(port.accepted(), before.dials)
  assert.equal(messaging.pool.stats().refused, refused + 3)
})

test('while one tries a broker that hangs, those that come later are answered at once, and the first ones wait with it', async () => {
  await using port = await startPort()
  const { clock, pass } = movingClock()
  await using messaging = createMessaging({ random: () => 0, clock, connectTimeoutMs: 400 })
  const tenantId = newId('ten')
  const [one, other] = [0, 1].map(() => integrationAt(messaging, '127.0.0.1', port.port, tenantId))
  if (!one || !other) throw new Error('there are two')
  port.fallSilent()
  for (let i = 0; i < 6; i++) {
    const tried = refusalOf(messaging.send(i === 0 ? other : one, { topic: 'a' }))
    await delay(5)
    pass(60_000)
    await tried
  }
  const counted = messaging.counted.length
  pass(60_000)
  const trying = refusalOf(messaging.send(one, { topic: 'a' }))
  const joining = refusalOf(messaging.send(one, { topic: 'a' }))
  await delay(20)
  assert.equal(messaging.counted.length, counted, 'a broker that is back would have said so by now')
  pass(300)
  for (const late of [one, other]) {
    assert.equal((await refusalOf(messaging.send(late, { topic: 'a' }))).code, 'broker.unreachable')
  }
  assert.equal(messaging.counted.length, counted + 2, 'they did not wait for the one that tries')
  for (const refusal of await Promise.all([trying, joining])) assert.equal(refusal.code, 'broker.unreachable')
})

test('what stands in the way beside the broker is still said on record', async () => {
  await using port = await startPort()
  await using messaging = createMessaging({ random: () => 0 })
  const integration = integrationAt(messaging, '127.0.0.1', port.port)
  await openBreaker(messaging, integration)
  messaging.vault.remove(integration.credentialId)
  const rows = messaging.audit.rows.length
  assert.equal((await refusalOf(messaging.send(integration, { topic: 'a' }))).code, 'integration.invalid')
  assert.deepEqual(
    messaging.audit.rows.slice(rows).map(({ action }) => action),
    ['proxy.publish.intent', 'proxy.publish.outcome'],
  )
})
