import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import {
  encodeItemOutcomes,
  type ItemOutcome,
  itemIdOf,
  itemOutcomeOf,
  parseItemOutcomes,
} from '#src/messaging/item-outcomes.ts'

const all: ItemOutcome[] = ['acknowledged', 'sent', 'rejected', 'denied', 'unavailable', 'unknown']

test('outcomes are written as run lengths, in order', () => {
  const items = [...Array.from({ length: 998 }, () => 'acknowledged' as const), 'rejected' as const, 'unknown' as const]
  assert.equal(encodeItemOutcomes(items), '998a 1r 1u')
  assert.equal(encodeItemOutcomes(all), '1a 1s 1r 1d 1x 1u')
  assert.equal(itemIdOf('msg_1', 17), 'msg_1.17')
})

test('what was written is read back, whatever it is, and stays within its bound', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...all), { minLength: 1, maxLength: 1000 }), (items) => {
      const text = encodeItemOutcomes(items)
      assert.ok(text.length < 3 * items.length + 1)
      assert.deepEqual(parseItemOutcomes(text), items)
    }),
  )
})

for (const text of ['', '0a', '1z', 'a', '1a  1s', '1a ', '1001a', '999a 2u', '01a', '1A', '1e3a', '-1a']) {
  test(`${JSON.stringify(text)} is no list of outcomes`, () => assert.equal(parseItemOutcomes(text), undefined))
}

const ends: readonly [ErrorCode, ItemOutcome][] = [
  ['policy.denied', 'denied'],
  ['guard.refused', 'denied'],
  ['operation.not_allowed', 'denied'],
  ['integration.locked', 'denied'],
  ['broker.rejected', 'rejected'],
  ['request.invalid', 'rejected'],
  ['credential.expired', 'rejected'],
  ['destination.not_allowed', 'denied'],
  ['broker.unreachable', 'unavailable'],
  ['broker.busy', 'unavailable'],
  ['database.unavailable', 'unavailable'],
  ['internal', 'unavailable'],
  ['outcome.unknown', 'unknown'],
]
for (const [code, outcome] of ends) {
  test(`an item that ended with ${code} is ${outcome}`, () =>
    assert.equal(itemOutcomeOf(new AppError(code, 'x')), outcome))
}
