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

/** Processor time of a number of scans in milliseconds. */
function cost(payload: Uint8Array, scans: number): number {
  const began = process.cpuUsage()
  for (let i = 0; i < scans; i++) {
    const { refusal } = guards.checkPublish(message(payload), {})
    assert.ok(refusal === null || refusal.class === 'size-limit', `found ${refusal?.class}`)
  }
  const { user, system } = process.cpuUsage(began)
  return (user + system) / 1_000
}

const large = new Map(nearMisses(1_024 * KIB).map(({ name, payload }) => [name, payload]))

for (const { name, payload } of nearMisses(64 * KIB)) {
  test(`1 MiB takes at most ${MAX_GROWTH} times as long as 64 KiB: ${name}`, (t) => {
    const whole = large.get(name) ?? assert.fail(name)
    const times = whole.length / payload.length
    cost(payload, times) // compiles what runs
    let growth = Number.POSITIVE_INFINITY
    for (let attempt = 0; attempt < ATTEMPTS && growth > MAX_GROWTH; attempt++) {
      const small = cost(payload, times) / times // as long as the other and right before it: disturbances meet both
      growth = Math.min(growth, cost(whole, 1) / small)
    }
    t.diagnostic(`${growth.toFixed(1)} times`)
    assert.ok(growth <= MAX_GROWTH, `${growth.toFixed(1)} times`)
  })
}
