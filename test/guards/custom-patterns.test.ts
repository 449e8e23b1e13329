import assert from 'node:assert/strict'
import { test } from 'node:test'
import { classOf, guardsOf, problemsOf, publish } from './fixtures.ts'

const inspection = (...patterns: readonly (string | { name: string; pattern: string })[]) => ({
  inspection: {
    enabled: true,
    patterns: {
      'custom-patterns': patterns.map((one, i) => (typeof one === 'string' ? { name: `p${i}`, pattern: one } : one)),
    },
  },
})

const matches: readonly (readonly [pattern: string, text: string, found: boolean])[] = [
  ['(?i)api[_-]?key\\s*[=:]', 'API-KEY: abc', true],
  ['(?i)password\\s*=', 'password=secret123', true],
  ['password', 'PASSWORD', false],
  ['^a$', 'xax', false],
  ['\\bid\\b', 'an id.', true],
  ['\\bid\\b', 'aide', false],
  ['^\\w+$', 'é', false],
  ['^\\d+$', '٣', false],
  ['^\\s$', '\u00a0', false],
  ['a.b', 'a\nb', false],
  ['(?s)a.b', 'a\nb', true],
  ['(?P<word>x+)y', 'xxy', true],
  ['\\pL', 'é', true],
  ['[[:digit:]]', '5', true],
  ['\\Qa.b\\E', 'axb', false],
  ['AKIA[0-9A-Z]{16}', 'key AKIAIOSFODNN7EXAMPLE', true],
  ['\\b\\d{4}[- ]?\\d{4}[- ]?\\d{4}[- ]?\\d{4}\\b', 'card 4111 1111 1111 1111', true],
]

for (const [pattern, text, found] of matches) {
  test(`/${pattern}/ ${found ? 'is found in' : 'is not in'} ${JSON.stringify(text)}`, () => {
    assert.equal(classOf(guardsOf(inspection(pattern)), text), found ? 'custom-p0' : null)
  })
}

test('decoded texts are searched too', () => {
  const guards = guardsOf(inspection('secret='))
  for (const text of ['s%65cret=', '{"a":"s\\u0065cret="}', 's&#101;cret='])
    assert.equal(classOf(guards, text), 'custom-p0', text)
})

test('all that match are told, in the order of the file', () => {
  const guards = guardsOf(
    inspection({ name: 'z', pattern: 'a' }, { name: 'x', pattern: 'q' }, { name: 'b', pattern: 'a' }),
  )
  assert.deepEqual(publish(guards, 'a').refusal?.classes, ['custom-z', 'custom-b'])
})

const broken: readonly (readonly [pattern: string, problem: RegExp])[] = [
  ['(unclosed', /missing closing \) at index 0/],
  ['ab(c(d)', /missing closing \) at index 2/],
  ['a)', /unexpected \) at index 1/],
  ['x[a', /missing closing \] .* at index 1/],
  ['a*|*', /repetition operator "\*" at index 3/],
  ['ab**', /"\*\*" at index 2/],
  ['x(?=y)', /"\(\?=" at index 1/],
  ['x(?!y)', /"\(\?!" at index 1/],
  ['(?<=x)y', /at index 0/],
  ['(a)\\1', /invalid escape sequence "\\\\1" at index 3/],
  ['a++', /"\+\+" at index 1/],
  ['(?>a)', /"\(\?>" at index 0/],
  ['[z-a]', /"z-a" at index 1/],
  ['a{1001}', /repeat count "\{1001\}" at index 1/],
  ['ab\\', /trailing backslash at end of expression at index 2/],
  ['(?P<n>a)(?P<n>b)', /"n" at index 12/],
  ['\\pX', /at index 0/],
  ['\\C', /at index 0/],
]

for (const [pattern, problem] of broken) {
  test(`/${pattern}/ is a load error that tells where`, () => {
    const [first = '', ...rest] = problemsOf(inspection('a', pattern))
    assert.match(first, /^inspection\.patterns\.custom-patterns\[1\]\.pattern: is not RE2 syntax: /)
    assert.match(first, problem)
    assert.deepEqual(rest, [])
  })
}

/** Patterns that would cost much to build or to match. */
const bombs = [
  '(a{1000}){1000}',
  '((a{10}){10}){10}{10}',
  `(?:${'a'.repeat(900)}){1000}`,
  '\\pL{1000}'.repeat(100),
  '(?i)[\\pL\\pN\\pS]{300}',
  '(a|b)*a(a|b){30}',
  'password.{0,500}secret',
  '(x+x+)+y'.repeat(100),
  '('.repeat(1_024),
  '(?:'.repeat(341),
  '['.repeat(1_024),
  '\\'.repeat(1_023),
  '|'.repeat(1_024),
  '.*'.repeat(512),
]

for (const pattern of bombs) {
  test(`a bomb is refused, or searched for in linear time: /${pattern.slice(0, 30)}…/`, () => {
    const began = process.cpuUsage()
    const problems = problemsOf(inspection(pattern))
    if (problems.length === 0) classOf(guardsOf(inspection(pattern)), 'ab password x'.repeat(10_000))
    assert.ok(process.cpuUsage(began).user < 3_000_000)
  })
}

test('the patterns of a document share what they may cost', () => {
  const one = 'x.{60}y'
  assert.deepEqual(problemsOf(inspection('x.{8}y')), [])
  const problems = problemsOf(inspection(...Array.from({ length: 32 }, () => one)))
  assert.ok(problems.length > 0)
  for (const problem of problems) assert.match(problem, /too many states/)
})

/** Texts that are slow to read, or to build, before a state of their automaton is made. */
const slowToRead = [
  '(?i)^[\\p{L}a-z]{900}',
  '(?i)[a-zA-Z\\x{100}-\\x{10ffff}]'.repeat(30),
  `${'(?i)\\p{L}'.repeat(50)}${'[b-a]a'.repeat(60)}`,
  `${'\\p{L}'.repeat(150)}**`,
  `${'(a)'.repeat(330)}(?<x`,
]

for (const pattern of slowToRead) {
  test(`a document of patterns that are slow to read is told so in little time: /${pattern.slice(0, 30)}…/`, () => {
    const began = process.cpuUsage()
    assert.ok(problemsOf(inspection(...Array.from({ length: 32 }, () => pattern))).length > 0)
    assert.ok(process.cpuUsage(began).user < 600_000)
  })
}

const misnamed: readonly (readonly [entry: Record<string, unknown>, problem: string])[] = [
  [{ pattern: 'a' }, 'custom-patterns[0].name: is missing'],
  [{ name: 'a' }, 'custom-patterns[0].pattern: is missing'],
  [{ name: '', pattern: 'a' }, 'custom-patterns[0].name: is empty'],
  [{ name: 'a', pattern: 5 }, 'custom-patterns[0].pattern: must be text, is a number'],
  [{ name: 'a', pattern: 'a'.repeat(1_025) }, 'custom-patterns[0].pattern: is longer than 1024 characters'],
  [
    { name: 'a', pattern: 'a', severity: 'worst' },
    'custom-patterns[0].severity: must be "low" or "medium" or "high" or "critical"',
  ],
]

for (const [entry, problem] of misnamed) {
  test(problem, () => {
    assert.deepEqual(problemsOf({ inspection: { patterns: { 'custom-patterns': [entry] } } }), [
      `inspection.patterns.${problem}`,
    ])
  })
}

test('a name occurs once', () => {
  const twice = inspection({ name: 'a', pattern: 'x' }, { name: 'a', pattern: 'y' })
  assert.deepEqual(problemsOf(twice), ['inspection.patterns.custom-patterns[1].name: "a" occurs twice'])
})
