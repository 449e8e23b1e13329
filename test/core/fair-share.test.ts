import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFairShare } from '#src/core/fair-share.ts'

/** Takes until it is refused; says how many it got. */
function fill(share: ReturnType<typeof createFairShare>, holder: string): number {
  for (let got = 0; ; got++) if (!share.take(holder)) return got
}

const shareOf = (most: number, floor = 0) => createFairShare({ most: () => most, shared: () => most, floor })

test('one holder alone gets two thirds of the places, and the next one finds room', () => {
  const share = shareOf(300)
  assert.equal(fill(share, 'a'), 200)
  assert.ok(fill(share, 'b') >= 60)
  assert.ok(share.taken < 300)
})

test('holders that want everything get the same, whoever came first', () => {
  const share = shareOf(300)
  const got = { a: 0, b: 0 }
  for (let round = 0; round < 300; round++)
    for (const holder of ['a', 'b'] as const) if (share.take(holder)) got[holder]++
  assert.ok(Math.abs(got.a - got.b) <= 1, JSON.stringify(got))
  assert.ok(share.taken < 300)
})

test('every holder has its floor while there are places, and never more than there are', () => {
  const share = createFairShare({ most: () => 20, shared: () => 0, floor: 8 })
  assert.equal(fill(share, 'a'), 8)
  assert.equal(fill(share, 'b'), 8)
  assert.equal(fill(share, 'c'), 4)
  assert.equal(share.taken, 20)
})

test('what is given back can be taken again, and a holder with nothing is forgotten', () => {
  const share = shareOf(3, 3)
  for (let i = 0; i < 100; i++) {
    assert.ok(share.take('a', 3))
    assert.ok(!share.take('b'))
    share.give('a', 3)
  }
  assert.equal(share.taken, 0)
  assert.equal(fill(share, 'b'), 3)
})

test('when there is less to share, whoever holds more than its part gets nothing new', () => {
  let shared = 300
  const share = createFairShare({ most: () => 300, shared: () => shared, floor: 8 })
  assert.equal(fill(share, 'a'), 200)
  shared = 100
  assert.ok(!share.take('a'))
  assert.equal(fill(share, 'b'), 8)
})
