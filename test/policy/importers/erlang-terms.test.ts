import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ErlangTerm, parseErlangTerms } from '#src/policy/importers/erlang-terms.ts'
import { forEvery } from './property.ts'

const term = fc.letrec<{ term: ErlangTerm }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: fc.constantFrom('a', 'Z', '"', '\\', ' ', '%', '.', '{', 'é', '\n'), maxLength: 6 }),
    fc.integer(),
    fc.constantFrom('a', 'allow', "it's", 'and', 'X').map((atom) => ({ atom })),
    fc.array(tie('term'), { maxLength: 3 }),
    fc.array(tie('term'), { maxLength: 3 }).map((tuple) => ({ tuple })),
  ),
})).term

const escaped = (text: string) => text.replace(/["'\\]/g, '\\$&')
function written(one: ErlangTerm): string {
  if (typeof one === 'string') return `"${escaped(one)}"`
  if (typeof one === 'number') return String(one)
  if ('atom' in one) return /^[a-z]\w*$/.test(one.atom) ? one.atom : `'${escaped(one.atom)}'`
  return 'tuple' in one ? `{${one.tuple.map(written).join(' , ')}}` : `[${one.map(written).join(',')}]`
}

test('terms are read as they are written', (t) => {
  forEvery(t, fc.array(term, { maxLength: 4 }), 500, (terms) => {
    const read = parseErlangTerms(terms.map((one) => `% "x" {\n ${written(one)} .\n`).join(''), 10)
    assert.ok(!('message' in read), JSON.stringify(read))
    assert.deepEqual(
      read.map((one) => one.term),
      terms,
    )
  })
})

test('whatever the text is, it is read or refused with a line', (t) => {
  const noise = fc.string({ unit: fc.constantFrom(...'{}[],."\'\\<> \n%a1-'.split('')), maxLength: 40 })
  forEvery(t, noise, 3_000, (text) => {
    const read = parseErlangTerms(text, 10)
    if ('message' in read) assert.ok(read.line >= 1 && read.message !== '')
  })
})

test('binaries, escapes, and the line of a problem', () => {
  const read = parseErlangTerms('<<"a">>. "\\n\\"\\s". -12.', 5)
  assert.deepEqual('message' in read ? read : read.map((one) => one.term), ['a', '\n" ', -12])
  assert.deepEqual(parseErlangTerms('a.\n\n "\n" Z.', 5), { line: 4, message: 'cannot be read from "Z." on' })
})

test('bounded: statements, depth, long texts', () => {
  assert.match(JSON.stringify(parseErlangTerms('a. '.repeat(11), 10)), /more than 10 terms/)
  assert.match(JSON.stringify(parseErlangTerms('['.repeat(100_000), 10)), /nested deeper/)
  assert.ok(!('message' in parseErlangTerms(`${' '.repeat(3_000_000)}"${'x'.repeat(3_000_000)}".`, 10)))
  assert.match(JSON.stringify(parseErlangTerms(`"${'x'.repeat(3_000_000)}`, 10)), /without its partner/)
})
