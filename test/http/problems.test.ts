import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problems, statusesOf, statusOf } from '#src/http/problems.ts'

const guards = [
  { details: { guard: 'rate-limit' }, status: 429 },
  { details: { guard: 'qos' }, status: 422 },
  { details: { guard: 'retained' }, status: 422 },
  { details: { guard: 'inspection', class: 'size-limit' }, status: 413 },
  { details: { guard: 'inspection', class: 'sqli' }, status: 403 },
  { details: { guard: 'inspection' }, status: 403 },
]
for (const { details, status } of guards) {
  test(`guard.refused of ${Object.values(details).join(' ')} is ${status}, and documented`, () => {
    assert.equal(statusOf('guard.refused', 'other', details), status)
    assert.ok(statusesOf('guard.refused', 'other').includes(status))
  })
}

test('every other code has one status on a kind of route, whatever its details', () => {
  const codes = (Object.keys(problems) as (keyof typeof problems)[]).filter((code) => code !== 'guard.refused')
  assert.ok(codes.length > 30)
  for (const code of codes) {
    for (const route of ['vault', 'other'] as const)
      assert.deepEqual(statusesOf(code, route), [statusOf(code, route, { guard: 'rate-limit' })], code)
  }
})
