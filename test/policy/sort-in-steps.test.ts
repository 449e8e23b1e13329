import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sortInSteps } from '#src/policy/sort-in-steps.ts'

function sorted<T>(items: readonly T[], compare: (a: T, b: T) => number): { items: T[]; steps: number } {
  const generator = sortInSteps(items, compare)
  for (let steps = 0; ; steps++) {
    const step = generator.next()
    if (step.done) return { items: step.value, steps }
  }
}

test('it sorts like toSorted, stable, at every size around its runs, and leaves the list alone', () => {
  for (const size of [0, 1, 2, 2_047, 2_048, 2_049, 4_096, 10_000]) {
    const items = Array.from({ length: size }, (_, i) => ({ key: (i * 7_919) % 101, i }))
    const before = structuredClone(items)
    const compare = (a: { key: number }, b: { key: number }) => a.key - b.key
    assert.deepEqual(sorted(items, compare).items, items.toSorted(compare), `${size} items`)
    assert.deepEqual(items, before)
  }
})

test('it yields often enough that a long list is many short steps', () => {
  const items = Array.from({ length: 50_000 }, (_, i) => (i * 7_919) % 50_000)
  assert.ok(sorted(items, (a, b) => a - b).steps > 100)
})
