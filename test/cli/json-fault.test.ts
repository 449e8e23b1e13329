import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { findJsonFault } from '#src/cli/json-fault.ts'
import { patience } from '#test/support/patience.ts'

const cases: readonly [text: string, offset: number, says: RegExp][] = [
  ['', 0, /the text ends here: expected a value/],
  ['{"a": x}', 6, /expected a value/],
  ['{"a" 1}', 5, /expected : behind the name/],
  ['{"a":1,}', 7, /expected the name of a member/],
  ['{a:1}', 1, /expected the name of a member in double quotes/],
  ['[1 2]', 3, /expected , or \]/],
  ['{"a":[1}', 7, /expected , or \]/],
  ['{"a":1]', 6, /expected , or }/],
  ['{"a":1', 6, /the text ends here: expected , or }/],
  ['[1,]', 3, /expected a value/],
  ['01', 1, /expected nothing more behind the value/],
  ['[01]', 2, /expected , or \]/],
  ['{} {}', 3, /expected nothing more/],
  ['"a\nb"', 2, /a line end or control character in a string/],
  ['"\\x"', 1, /no such escape/],
  ['"\\u12g4"', 1, /no such escape/],
  ['"abc', 4, /a string is not closed/],
  ['tru', 0, /expected a value/],
  ["{'a':1}", 1, /double quotes/],
  ['[1] // note', 4, /expected nothing more/],
]

describe('findJsonFault: where a text stops being JSON', () => {
  for (const [text, offset, says] of cases) {
    test(JSON.stringify(text), () => {
      const fault = findJsonFault(text)
      assert.equal(fault?.offset, offset)
      assert.match(fault?.message ?? '', says)
      assert.throws(() => JSON.parse(text))
    })
  }
})

test('finds a fault exactly where JSON.parse does, in JSON with and without one character changed', () => {
  const counts = { valid: 0, broken: 0 }
  const change = fc.record({
    at: fc.nat(),
    put: fc.constantFrom('', ',', '"', '\\', '}', ']', '{', ':', '0', 'e', '-', ' ', '\n'),
  })
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), fc.option(change), fc.constantFrom(0, 2), (json, changed, indent) => {
      const text = JSON.stringify(JSON.parse(json), null, indent)
      const at = changed === null ? 0 : changed.at % (text.length + 1)
      const given = changed === null ? text : text.slice(0, at) + changed.put + text.slice(at + 1)
      const fault = findJsonFault(given)
      let position: number | undefined
      try {
        JSON.parse(given)
        counts.valid++
        assert.equal(fault, undefined, given)
        return
      } catch (err) {
        if (!(err instanceof SyntaxError)) throw err
        position = Number(/at position (\d+)/.exec(err.message)?.[1])
      }
      counts.broken++
      assert.ok(fault, given)
      // What stands before the fault can go on to be JSON: it is the same fault with any end that is cut off behind it.
      assert.deepEqual(findJsonFault(given.slice(0, fault.offset + 1))?.offset, fault.offset, given)
      if (!Number.isNaN(position)) assert.ok(fault.offset <= position, `${fault.offset} > ${position} in ${given}`)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(counts.valid > 2_000 && counts.broken > 2_000, JSON.stringify(counts))
})

test('10 MB of open brackets, quotes or backslashes take no more than their length', () => {
  const start = process.cpuUsage().user
  for (const piece of ['[', '{"a":', '"', '\\', '"\\\\', '-', '1', '[[],']) {
    const text = piece.repeat(10_000_000 / piece.length)
    assert.ok(findJsonFault(text) || /^1+$/.test(text), piece)
  }
  const ms = (process.cpuUsage().user - start) / 1000
  assert.ok(ms < patience(15_000), `${ms} ms`)
})
