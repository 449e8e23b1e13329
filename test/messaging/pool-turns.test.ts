import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { startBrokerFarm } from '#test/support/broker-farm.ts'
import { createMessaging, integrationAt, until } from './harness.ts'

test('F37, G10, P17: 120 integrations take turns on 20 connections: nothing fails, and nothing is left behind', async () => {
  const farm = await startBrokerFarm(30)
  try {
    await using messaging = createMessaging({ maxConnections: 20 })
    const integrations = Array.from({ length: 120 }, (_, i) =>
      integrationAt(messaging, farm.hosts[i % 30] ?? '', farm.port),
    )
    const handles = () => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length
    const descriptors = () => readdirSync('/dev/fd').length
    const left: { handles: number; descriptors: number }[] = []
    for (let round = 0; round < 2; round++) {
      for (const [i, one] of integrations.entries()) {
        assert.equal((await messaging.send(one, { topic: 'a' })).outcome, 'acknowledged')
        assert.ok(messaging.pool.stats().connections <= 20)
        if (i === 119) {
          await until(() => farm.sessions === 20)
          left.push({ handles: handles(), descriptors: descriptors() })
        }
      }
    }
    assert.equal(farm.acknowledged, 240)
    const outcomes = messaging.audit.rows.filter(({ action }) => action === 'proxy.publish.outcome')
    assert.deepEqual([outcomes.length, new Set(outcomes.map(({ outcome }) => outcome))], [240, new Set(['success'])])
    assert.equal(messaging.pool.stats().connects, 240, 'each had been evicted meanwhile')
    const [first, second] = left
    assert.ok(first && second)
    assert.ok(Math.abs(second.handles - first.handles) <= 4, `${first.handles} handles, then ${second.handles}`)
    assert.ok(Math.abs(second.descriptors - first.descriptors) <= 4, `${first.descriptors}, then ${second.descriptors}`)
  } finally {
    await farm.close()
  }
})

test('a tenant with many integrations evicts its own connections, not those of another that has few', async () => {
  const farm = await startBrokerFarm(1)
  try {
    await using messaging = createMessaging({ maxConnections: 10 })
    const [busy, quiet] = [newId('ten'), newId('ten')]
    const host = farm.hosts[0] ?? ''
    const few = Array.from({ length: 3 }, () => integrationAt(messaging, host, farm.port, quiet))
    for (const one of few) await messaging.send(one, { topic: 'a' })
    for (let i = 0; i < 30; i++) await messaging.send(integrationAt(messaging, host, farm.port, busy), { topic: 'a' })
    const before = messaging.pool.stats().connects
    for (const one of few) await messaging.send(one, { topic: 'a' })
    assert.equal(messaging.pool.stats().connects, before, 'those of the quiet tenant were still there')
    assert.equal(messaging.pool.stats().connections, 10)
  } finally {
    await farm.close()
  }
})
