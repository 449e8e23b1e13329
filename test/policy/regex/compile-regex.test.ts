import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RE2JS } from 're2js'
import type { RegexPart } from '#src/policy/regex/check-regex.ts'
import { compileTextRegex, compileTopicRegex } from '#src/policy/regex/compile-regex.ts'
import { allTexts, createRandom, freshSeed, randomPattern } from './random.ts'

const table = [
  { pattern: 'sensors/device-001/.*', name: 'sensors/device-001/a', matches: true, why: 'V88' },
  { pattern: 'sensors/device-001/.*', name: 'sensors/device-001/', matches: true, why: '.* takes nothing too' },
  { pattern: 'sensors/device-001/.*', name: 'sensors/device-001', matches: false, why: 'the slash is literal' },
  { pattern: 'sensors/device-001/.*', name: 'xsensors/device-001/a', matches: false, why: 'nothing may stand before' },
  { pattern: 'my', name: 'my/a', matches: false, why: 'nothing may stand behind' },
  { pattern: 'my/.*', name: 'my', matches: false, why: 'V95: the parent level is not in my/.*' },
  { pattern: 'plant/[0-9]+/(cmd|fw)/.*', name: 'plant/42/fw/x/y', matches: true, why: 'V99' },
  { pattern: 'plant/[0-9]+/(cmd|fw)/.*', name: 'plant/x/fw/y', matches: false, why: 'V99' },
  { pattern: 'commands/device-001/[^/]+', name: 'commands/device-001/reboot', matches: true, why: 'V144' },
  {
    pattern: 'commands/device-001/[^/]+',
    name: 'commands/device-001/#',
    matches: true,
    why: 'V92: as text, a # is a character',
  },
  { pattern: '\\$.*', name: '$SYS/x', matches: true, why: 'an escaped $ is a character' },
  { pattern: '(?:ab){2}c?', name: 'abab', matches: true, why: 'groups repeat as a whole' },
  { pattern: 'a|b', name: 'ab', matches: false, why: 'the whole of one alternative' },
  { pattern: '(a|)b', name: 'b', matches: true, why: 'an empty alternative' },
  { pattern: '.', name: '\u{1f600}', matches: true, why: 'a surrogate pair is one character' },
  { pattern: '..', name: '\u{1f600}', matches: false, why: 'a surrogate pair is one character' },
  { pattern: '[\u{1f600}-\u{1f602}]{2}', name: '\u{1f601}\u{1f602}', matches: true, why: 'a range beyond the BMP' },
  { pattern: '[\u{1f600}-\u{1f602}]', name: '\u{1f603}', matches: false, why: 'a range beyond the BMP' },
  { pattern: 'é', name: 'e\u0301', matches: false, why: 'nothing is normalised' },
  { pattern: '[^\\s\\S]', name: 'a', matches: false, why: 'a class of nothing' },
  { pattern: 'k', name: '\u212a', matches: false, why: 'no case is folded' },
]
for (const { pattern, name, matches, why } of table) {
  test(`${pattern} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(name)}: ${why}`, () => {
    const regex = compileTopicRegex([pattern], [])
    for (let i = 0; i < 2; i++) assert.equal(regex.matches(name, !matches), matches)
  })
}

test('the value of a variable is text, whatever its characters', () => {
  const parts: RegexPart[] = ['/devices/', { hole: 0 }, '/data/', { hole: 1 }, '/.*']
  const hostile = [
    '.*',
    'a|b',
    '(',
    ')',
    '[',
    'a{2}',
    '\\',
    '\\E',
    '\\Q',
    '$',
    '^',
    '(?i)',
    '${clientId}',
    '\u{1f600}',
    '\ufffc',
    '+',
  ]
  for (const value of hostile) {
    const regex = compileTopicRegex(parts, [value, value])
    assert.equal(regex.prefix, `/devices/${value}/data/${value}/`)
    assert.equal(regex.matches(`/devices/${value}/data/${value}/x`, false), true, value)
    assert.equal(regex.matches('/devices/zz/data/zz/x', true), false, value)
    const inside = compileTopicRegex(['.*/(', { hole: 0 }, ')+/x'], [value])
    assert.equal(inside.matches(`a/${value}${value}/x`, false), true, value)
    assert.equal(inside.matches('a/zz/x', true), false, value)
  }
})

test('a value that is not usable stands for any text of one level', () => {
  const regex = compileTopicRegex(['a/', { hole: 0 }, '/b/', { hole: 1 }], [null, 'x'])
  for (const name of ['a/q/b/x', 'a//b/x', 'a/.+/b/x']) assert.equal(regex.matches(name, false), true, name)
  for (const name of ['a/q/r/b/x', 'a/b/x', 'a/q/b/y']) assert.equal(regex.matches(name, true), false, name)
})

test('two values of the largest size leave room to match', () => {
  const value = '%2F'.repeat(1_024)
  const regex = compileTopicRegex(['.*/', { hole: 0 }, '/', { hole: 1 }, '/.*'], [value, value])
  assert.equal(regex.matches(`a/${value}/${value}/x`, false), true)
  assert.equal(regex.matches(`a/${value}/${value}x`, true), false)
})

test('values that are missing are a mistake of the caller', () => {
  assert.throws(() => compileTopicRegex(['a/', { hole: 0 }], []), TypeError)
  assert.throws(() => compileTopicRegex(['a('], []), /not checked/)
  assert.throws(() => compileTextRegex('a(', 'full'), /not checked/)
})

test('sessions share what does not depend on their values', () => {
  const parts: RegexPart[] = ['d/', { hole: 0 }, '/[a-f]+']
  const [one, other] = [compileTopicRegex(parts, ['x']), compileTopicRegex(parts, ['y'])]
  assert.equal(one.rest, other.rest)
  assert.equal(one.matches('d/x/ab', false), true)
  assert.equal(other.matches('d/x/ab', true), false)
})

test('patterns that differ in their literal prefix share the rest, and only those', () => {
  const rest = (pattern: string) => compileTopicRegex([pattern], []).rest
  assert.equal(rest('a/.*'), rest('b/c/.*'))
  assert.equal(rest('a/[^/]+'), rest('[^/]{1,}'))
  const apart = [
    'a/.*',
    'a/.+',
    'a/.{0,200}',
    'a/.{0,2}',
    'a/.?',
    'a/(x|.*)',
    'a/(.*|x)',
    'a/[^/]*',
    'a/(.*x)',
    'a/()*',
  ]
  assert.equal(new Set(apart.map(rest)).size, apart.length)
})

test('conditions: full matches the whole text, search a part of it, anchors tie alternatives to the ends', () => {
  const cases = [
    { pattern: 'dev-[0-9]+', text: 'my-dev-12-b', full: false, search: true },
    { pattern: '^dev-[0-9]+$', text: 'dev-12', full: true, search: true },
    { pattern: '^dev-[0-9]+$', text: 'my-dev-12', full: false, search: false },
    { pattern: '^a|b$', text: 'axx', full: false, search: true },
    { pattern: '^a|b$', text: 'xxb', full: false, search: true },
    { pattern: '^a|b$', text: 'xax', full: false, search: false },
    { pattern: '^$', text: '', full: true, search: true },
    { pattern: '^$', text: 'a', full: false, search: false },
    { pattern: 'a$', text: 'a\n', full: false, search: false },
    { pattern: 'b', text: 'a\nb\u2028c', full: false, search: true },
    { pattern: '(?i)admin', text: 'ADMIN', full: true, search: true },
    { pattern: '(?i)[a-c]\\x44', text: 'Bd', full: true, search: true },
    { pattern: '(?i)k', text: '\u212a', full: false, search: false },
    { pattern: 'admin', text: 'ADMIN', full: false, search: false },
  ]
  for (const { pattern, text, full, search } of cases) {
    assert.equal(compileTextRegex(pattern, 'full')(text), full, `${pattern} full ${text}`)
    assert.equal(compileTextRegex(pattern, 'search')(text), search, `${pattern} search ${text}`)
  }
})

test('random patterns agree with RegExp and with re2js', (t) => {
  const seed = freshSeed()
  t.diagnostic(`seed ${seed}`)
  const random = createRandom(seed)
  const names = [...allTexts(['a', 'b', '/', '$'], 4), ...allTexts(['a', '\n', '\u0085', '\u{1f600}', '\u2028'], 3)]
  let matching = 0
  for (let round = 0; round < 400; round++) {
    const { ours, theirs } = randomPattern(random, 3)
    const regex = compileTopicRegex([ours], [])
    const search = compileTextRegex(ours, 'search')
    const oracle = new RegExp(`^(?:${theirs})$`, 'u')
    const searchOracle = new RegExp(theirs, 'u')
    const engine = RE2JS.compile(
      theirs.replaceAll('\\u0085', '\\x85').replaceAll('\\u2028\\u2029', '\\x{2028}\\x{2029}'),
    )
    for (const name of names) {
      const expected = oracle.test(name)
      const where = `seed ${seed}: ${ours} and ${JSON.stringify(name)}`
      assert.equal(regex.matches(name, !expected), expected, where)
      assert.equal(engine.testExact(name), expected, `${where}, re2js`)
      assert.equal(search(name), searchOracle.test(name), `${where}, search`)
      matching += Number(expected)
    }
  }
  t.diagnostic(`${400 * names.length} comparisons, ${matching} matches`)
  assert.ok(matching > 1_000)
})
