import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnectBudget } from '#src/outbound/connect-budget.ts'

function createBudget() {
  let nowMs = 1_000
  const budget = createConnectBudget({ now: () => 0, monotonic: () => nowMs })
  const isRefused = (tenantId: string, destination: string) => {
    try {
      budget.spend(tenantId, destination)
      return false
    } catch (err) {
      const { code, retryAfterS = 0 } = err as { code: string; retryAfterS?: number }
      assert.equal(code, 'rate.limited')
      assert.ok(retryAfterS >= 1 && retryAfterS <= 60)
      return true
    }
  }
  return { ...budget, isRefused, pass: (ms: number) => (nowMs += ms) }
}

test('T3: a scan of ports is stopped after thirty, goes on at one in two seconds, and no other tenant is', () => {
  const { isRefused, pass } = createBudget()
  const scan = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => isRefused('ten_1', `host ${from + i}`)).filter((refused) => !refused).length
  assert.equal(scan(0, 1_000), 30)
  assert.equal(scan(1_000, 1_000), 0)
  pass(2_000)
  assert.equal(scan(2_000, 1_000), 1)
  pass(3_600_000)
  assert.equal(scan(3_000, 1_000), 30)
  assert.equal(isRefused('ten_2', 'host 1'), false)
})

test('one dead destination counts once a minute, however often it is tried', () => {
  const { isRefused, pass } = createBudget()
  for (let i = 0; i < 1_000; i++) assert.equal(isRefused('ten_1', 'dead 1883'), false)
  for (let i = 0; i < 29; i++) assert.equal(isRefused('ten_1', `other ${i}`), false)
  assert.equal(isRefused('ten_1', 'one more'), true)
  assert.equal(isRefused('ten_1', 'dead 1883'), false)
  pass(60_001)
  assert.equal(isRefused('ten_1', 'dead 1883'), false)
})

test('a tenant whose brokers let it in never notices: a hundred of them, four at a time, before and after an outage', () => {
  const { isRefused, proven } = createBudget()
  for (let i = 0; i < 100; i += 4) {
    const four = [0, 1, 2, 3].map((n) => `broker${i + n} 8883`)
    for (const broker of four) assert.equal(isRefused('ten_1', broker), false)
    for (const broker of four) proven('ten_1', broker)
  }
  for (let i = 0; i < 100; i++) assert.equal(isRefused('ten_1', `broker${i} 8883`), false)
  for (let i = 0; i < 30; i++) assert.equal(isRefused('ten_1', `new${i} 8883`), false)
  assert.equal(isRefused('ten_1', 'new 8883'), true, 'those that were proven gave back what they cost, not more')
})

test('the address of a name that was paid for costs nothing, and gives nothing back', () => {
  const { isRefused, cover, proven, spend } = createBudget()
  assert.equal(spend('ten_1', 'broker.example 1883'), true)
  cover('ten_1', '1.1.1.1 1883')
  assert.equal(spend('ten_1', '1.1.1.1 1883'), false)
  for (const destination of ['broker.example 1883', '1.1.1.1 1883', '1.1.1.1 1883']) proven('ten_1', destination)
  for (let i = 0; i < 30; i++) assert.equal(isRefused('ten_1', `new${i} 8883`), false)
  assert.equal(isRefused('ten_1', 'new 8883'), true)
})
