import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { ecmaToRe2 } from '#src/guards/ecma-pattern.ts'

function translated(pattern: string): RE2JS {
  const result = ecmaToRe2(pattern)
  return 're2' in result ? RE2JS.compile(result.re2) : assert.fail(`${pattern} ${result.problem}`)
}

const patterns = [
  String.raw`^\s$`,
  String.raw`^\S$`,
  String.raw`^[\s\d]$`,
  String.raw`^[^\s]$`,
  '^.$',
  '^[.]$',
  String.raw`^[\W\D]$`,
  String.raw`\bA\b`,
  String.raw`^[\b]$`,
  String.raw`^[a\-z]$`,
  String.raw`^\/$`,
  '^[[:a]$',
  String.raw`^[\]^]$`,
  '^[^]$',
  String.raw`^\u00e9|\u{1F600}|\uD83D\uDE00$`,
  String.raw`^\x41\cJ?\0?$`,
  String.raw`^\t\n\v\f\r$`,
  String.raw`^\p{L}\P{L}$`,
  '^(?<name>a|b){2,3}?$',
  String.raw`^\$\.\*\+\?\(\)\[\]\{\}\|\\\^$`,
  '^$',
]
const texts = fc
  .array(
    fc.constantFrom(
      ...' \t\n\v\f\r\b\0\u00a0\u1680\u2003\u2028\u2029\u202f\u3000\ufeffaAbz-1_.[]:/\\é'.split(''),
      '\u{1f600}',
      '\u0085',
    ),
    { maxLength: 4 },
  )
  .map((parts) => parts.join(''))

for (const pattern of patterns) {
  test(`/${pattern}/u means the same in RE2`, () => {
    const native = new RegExp(pattern, 'u')
    const re2 = translated(pattern)
    fc.assert(
      fc.property(texts, (text) => assert.equal(re2.matcher(text).find(), native.test(text), JSON.stringify(text))),
      { numRuns: 1_000 },
    )
  })
}

for (const [pattern, problem] of [
  ['(', /ECMA-262/],
  ['a{', /ECMA-262/],
  [String.raw`\Q`, /ECMA-262/],
  [String.raw`(a)\1`, /back-reference/],
  [String.raw`(?<n>a)\k<n>`, /back-reference/],
  [String.raw`[\S]`, /name its characters/],
  ['[]', /empty class/],
] as const) {
  test(`/${pattern}/ has no counterpart`, () => {
    const result = ecmaToRe2(pattern)
    assert.match('problem' in result ? result.problem : '', problem)
  })
}
