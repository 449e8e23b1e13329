import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearMisses } from '../../scripts/bench/inspection-payloads.ts'
import { allPatterns, guardsOf, message } from './fixtures.ts'

const KIB = 1_024
/** What the size grows by is 16; the rest is for memory that no longer fits a cache. */
const MAX_GROWTH = 20
const ATTEMPTS = 8

const customPatterns = ['(a+)+~$', '(?i)key.*=.*', String.raw`(?:\w+\s*)*!`].map((pattern, i) => ({
  name: `p${i}`,
  pattern,
}))
const guards = guardsOf({
  inspection: { enabled: true, 'max-payload-size': 0, patterns: { ...allPatterns, 'custom-patterns': customPatterns } },
})

/** Processor time in milliseconds. */
function cost(payload: Uint8Array): number {
  const began = process.cpuUsage()
  const { refusal } = guards.checkPublish(message(payload), {})
  const { user, system } = process.cpuUsage(began)
  assert.equal(refusal?.class === undefined || refusal.class === 'size-limit', true, `found ${refusal?.class}`)
  return (user + system) / 1_000
}

const large = new Map(nearMisses(1_024 * KIB).map(({ name, payload }) => [name, payload]))

for (const { name, payload } of nearMisses(64 * KIB)) {
  test(`1 MiB takes at most ${MAX_GROWTH} times as long as 64 KiB: ${name}`, (t) => {
    const whole = large.get(name) ?? assert.fail(name)
    for (let i = 0; i < 3; i++) cost(payload)
    let best = Number.POSITIVE_INFINITY
    let [small, big] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    for (let attempt = 0; attempt < ATTEMPTS && best > MAX_GROWTH; attempt++) {
      for (let i = 0; i < 4; i++) small = Math.min(small, cost(payload))
      big = Math.min(big, cost(whole))
      best = big / small
    }
    t.diagnostic(`${small.toFixed(2)} ms, ${big.toFixed(1)} ms: ${best.toFixed(1)} times`)
    assert.ok(best <= MAX_GROWTH, `${best.toFixed(1)} times`)
  })
}
