import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  literalPrefix,
  type RegexPart,
  regexProblem,
  startsWithDollar,
  textRegexProblem,
} from '#src/policy/regex/check-regex.ts'
import { compileTopicRegex } from '#src/policy/regex/compile-regex.ts'

const accepted = [
  'a',
  'sensors/device-001/.*',
  'a.b',
  '[^/]+',
  '[a-z0-9_-]',
  '[-a]',
  '[a-]',
  '[^-a]',
  '[a^]',
  '[a&b]',
  '[.*+?(){}|$]',
  '[\\]\\[\\^\\-\\\\]',
  '\\d\\w\\s\\D\\W\\S',
  '[\\d\\S]',
  '\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\|\\^\\$\\\\\\/\\-\\_\\ \\é',
  '\\t\\n\\r\\f',
  '\\x41\\u00e9\\x{1F600}\\x{0041}',
  '\\Qa.b[\\E',
  '\\Q\\E',
  '(a)',
  '(?:a)',
  '()',
  '(|a)',
  'a|b',
  '|',
  'a*b+c?',
  'a*?b+?c??',
  'a{3}',
  'a{3,}',
  'a{3,5}',
  'a{0}',
  'a{1,2}?',
  'a{200}',
  '(a*)*',
  '(a+)+',
  ']',
  '}',
  'é\u{1f600}',
  'a\nb',
  '(a{10}){100}',
]
test('the subset is taken', () => {
  for (const pattern of accepted) {
    assert.equal(regexProblem([pattern]), undefined, pattern)
    compileTopicRegex([pattern], []).matches('a', false)
  }
})

const refused: readonly { pattern: string; position: number; says: RegExp }[] = [
  { pattern: '', position: 0, says: /empty/ },
  { pattern: 'a(?=b)', position: 1, says: /look-ahead/ },
  { pattern: 'a(?!b)', position: 1, says: /look-ahead/ },
  { pattern: 'a(?<=b)', position: 1, says: /look-behind/ },
  { pattern: 'a(?<!b)', position: 1, says: /look-behind/ },
  { pattern: '(a)\\1', position: 3, says: /back-reference/ },
  { pattern: '(?<n>a)\\k<n>', position: 0, says: /named group/ },
  { pattern: 'a\\k<n>', position: 1, says: /back-reference/ },
  { pattern: '(?P<n>a)', position: 0, says: /named group/ },
  { pattern: '(?>a)', position: 0, says: /atomic/ },
  { pattern: '(?i)a', position: 0, says: /flags/ },
  { pattern: '(?s)a', position: 0, says: /flags/ },
  { pattern: '(?i:a)', position: 0, says: /flags/ },
  { pattern: 'a(?', position: 1, says: /flags|group/ },
  { pattern: 'a*+', position: 2, says: /possessive/ },
  { pattern: 'a++', position: 2, says: /possessive/ },
  { pattern: 'a?+', position: 2, says: /possessive/ },
  { pattern: 'a{2}+', position: 4, says: /possessive/ },
  { pattern: 'a**', position: 2, says: /group around it/ },
  { pattern: 'a{2}{3}', position: 4, says: /group around it/ },
  { pattern: 'a{2}*', position: 4, says: /group around it/ },
  { pattern: 'a*??', position: 3, says: /group around it/ },
  { pattern: '*a', position: 0, says: /repeated/ },
  { pattern: 'a|+', position: 2, says: /repeated/ },
  { pattern: '(?:?)', position: 3, says: /repeated/ },
  { pattern: '{2}', position: 0, says: /repeated/ },
  { pattern: '\\Q\\E*', position: 4, says: /repeated/ },
  { pattern: 'a{', position: 1, says: /\\\{/ },
  { pattern: 'a{,3}', position: 1, says: /\{m,n\}/ },
  { pattern: 'a{x}', position: 1, says: /\{m,n\}/ },
  { pattern: 'a{1', position: 1, says: /\{m,n\}/ },
  { pattern: 'a{ 1}', position: 1, says: /\{m,n\}/ },
  { pattern: 'a{-1}', position: 1, says: /\{m,n\}/ },
  { pattern: 'a{2,1}', position: 1, says: /backwards/ },
  { pattern: 'a{201}', position: 1, says: /200/ },
  { pattern: 'a{201,}', position: 1, says: /200/ },
  { pattern: 'a{0,201}', position: 1, says: /200/ },
  { pattern: 'a{99999999999999999999}', position: 1, says: /\{m,n\}|200/ },
  { pattern: '[a[b]]', position: 2, says: /inside classes/ },
  { pattern: '[a&&b]', position: 2, says: /intersection/ },
  { pattern: '[&&a]', position: 1, says: /intersection/ },
  { pattern: '[!-&&]', position: 3, says: /intersection/ },
  { pattern: '[[:alpha:]]', position: 1, says: /POSIX/ },
  { pattern: '[]a]', position: 1, says: /empty/ },
  { pattern: '[^]a]', position: 2, says: /empty/ },
  { pattern: '[]', position: 1, says: /empty/ },
  { pattern: 'x[a', position: 1, says: /not closed/ },
  { pattern: 'x[a-', position: 1, says: /not closed/ },
  { pattern: 'x[a\\]', position: 1, says: /not closed/ },
  { pattern: '[b-a]', position: 1, says: /backwards/ },
  { pattern: '[a-\\d]', position: 1, says: /range/ },
  { pattern: '[\\w-z]', position: 1, says: /range/ },
  { pattern: '[a-c-e]', position: 4, says: /hyphen/ },
  { pattern: '[\\Qa\\E]', position: 1, says: /\\Q/ },
  { pattern: '[\\b]', position: 1, says: /\\b/ },
  { pattern: '[\\p{L}]', position: 1, says: /\\p/ },
  { pattern: 'a)', position: 1, says: /\\\)/ },
  { pattern: '(a', position: 0, says: /not closed/ },
  { pattern: 'a((b)', position: 1, says: /not closed/ },
  { pattern: '\\Qabc', position: 0, says: /without \\E/ },
  { pattern: 'abc\\E', position: 3, says: /\\Q/ },
  { pattern: 'a\\', position: 1, says: /backslash/ },
  { pattern: '^a', position: 0, says: /as a whole/ },
  { pattern: 'a$', position: 1, says: /as a whole/ },
  { pattern: 'a^b', position: 1, says: /start/ },
  { pattern: 'a$b', position: 1, says: /as a whole/ },
  { pattern: '\\ud83d\\ude00', position: 0, says: /surrogate/ },
  { pattern: '\\x{d800}', position: 0, says: /surrogate/ },
  { pattern: '\\x{110000}', position: 0, says: /10FFFF/ },
  { pattern: '\\x{}', position: 0, says: /\\xHH/ },
  { pattern: '\\x{0000041}', position: 0, says: /\\xHH/ },
  { pattern: '\\x4', position: 0, says: /\\xHH/ },
  { pattern: '\\x4g', position: 0, says: /\\xHH/ },
  { pattern: '\\u123', position: 0, says: /\\uHHHH/ },
  { pattern: '\\u{41}', position: 0, says: /\\uHHHH/ },
  { pattern: 'a\ud83d', position: 0, says: /well-formed/ },
  ...Array.from('ABGZzbB', (letter) => ({ pattern: `a\\${letter}`, position: 1, says: /boundaries/ })),
  ...Array.from('pPhHvVRXN', (letter) => ({ pattern: `a\\${letter}`, position: 1, says: /list the characters/ })),
  ...Array.from('123456789', (digit) => ({ pattern: `a\\${digit}`, position: 1, says: /back-reference/ })),
  ...Array.from('0ceaCFgijlLmMoOqTuUxyYIJKV', (letter) => ({ pattern: `a\\${letter}`, position: 1, says: /\\/ })),
  { pattern: `\u{1f600}${'a'}(?=b)`, position: 3, says: /look-ahead/ },
]
test('everything else is refused, with a word and a place', () => {
  for (const { pattern, position, says } of refused) {
    const problem = regexProblem([pattern])
    assert.match(problem?.message ?? 'nothing', says, pattern)
    assert.equal(problem?.position, position, pattern)
  }
})

test('a pattern is bounded in length, nesting and what its repetitions come to', () => {
  const sizes = [
    { pattern: 'a'.repeat(4_096), ok: true },
    { pattern: 'a'.repeat(4_097), ok: false },
    { pattern: 'ab'.repeat(5_120), ok: false },
    { pattern: `${'('.repeat(100)}a${')'.repeat(100)}`, ok: true },
    { pattern: `${'('.repeat(101)}a${')'.repeat(101)}`, ok: false },
    { pattern: `${'('.repeat(2_000)}a${')'.repeat(2_000)}`, ok: false },
    { pattern: '(a{25}){40}', ok: true },
    { pattern: '(a{26}){40}', ok: false },
    { pattern: '(a{200}){200}', ok: false },
    { pattern: '((((a{9}){9}){9}){9}){9}', ok: false },
    { pattern: '((((a{200,}){200,}){200,}){200,}){200,}', ok: false },
    { pattern: '(abcdefghij){200}'.repeat(2), ok: true },
    { pattern: '(abcdefghij){200}'.repeat(3), ok: false },
    { pattern: Array.from({ length: 1_000 }, (_, i) => i.toString(36)).join('|'), ok: true },
    { pattern: '|'.repeat(4_096), ok: false },
  ]
  for (const { pattern, ok } of sizes) {
    assert.equal(regexProblem([pattern]) === undefined, ok, pattern.slice(0, 60))
    if (ok) compileTopicRegex([pattern], []).matches('a/b', false)
  }
})

test('conditions may be anchored at their ends and ignore case from the start', () => {
  for (const pattern of [
    '^a$',
    '^a',
    'a$',
    '^$',
    '^',
    '(?i)a',
    '(?i)^a$',
    '^a|b$',
    '^a$|^b$',
    '^(a|b)$',
    '\\^a\\$',
    '[$^]',
  ])
    assert.equal(textRegexProblem(pattern), undefined, pattern)
  const wrong = [
    { pattern: 'a^', position: 1 },
    { pattern: '$a', position: 0 },
    { pattern: '^^a', position: 1 },
    { pattern: 'a$$', position: 1 },
    { pattern: '^*', position: 1 },
    { pattern: 'a$*', position: 1 },
    { pattern: '(^a)', position: 1 },
    { pattern: '(a$)', position: 2 },
    { pattern: '(?i)', position: 4 },
    { pattern: 'a(?i)b', position: 1 },
    { pattern: '(?i)(?i)a', position: 4 },
    { pattern: '(?is)a', position: 0 },
  ]
  for (const { pattern, position } of wrong) assert.equal(textRegexProblem(pattern)?.position, position, pattern)
})

test('variables stand where a character stands, and nowhere else', () => {
  const [first, second] = [{ hole: 0 }, { hole: 1 }]
  const fine: RegexPart[][] = [
    [first],
    ['a/', first, '/.*'],
    [first, first],
    ['(', first, '){8}'],
    ['(', first, ')*'],
    ['(', first, '|', second, ')'],
    ['\\\\', first],
    ['\\Qa\\E', first],
  ]
  for (const parts of fine) assert.equal(regexProblem(parts), undefined, JSON.stringify(parts))
  const wrong: { parts: RegexPart[]; says: RegExp }[] = [
    { parts: ['[', first, ']'], says: /inside a class/ },
    { parts: ['[a-', first, ']'], says: /inside a class/ },
    { parts: ['\\Qa', first, '\\E'], says: /between \\Q and \\E/ },
    { parts: ['a{', first, '}'], says: /\{m,n\}/ },
    { parts: ['a{1,', first, '}'], says: /\{m,n\}/ },
    { parts: ['\\', first], says: /backslash before a variable/ },
    { parts: ['\\x4', first], says: /\\xHH/ },
    { parts: [first, '*'], says: /group around it/ },
    { parts: ['a', first, '{2}'], says: /group around it/ },
    { parts: ['(', first, '){9}'], says: /variables more than 8/ },
    { parts: ['(?', first, ')'], says: /flags|group/ },
  ]
  for (const { parts, says } of wrong)
    assert.match(regexProblem(parts)?.message ?? 'nothing', says, JSON.stringify(parts))
})

test('positions count the variables as they are written', () => {
  assert.equal(regexProblem(['a/', { hole: 0, width: 11 }, '/(?=b)'])?.position, 14)
  assert.equal(regexProblem(['a/', { hole: 0 }, '/(?=b)'])?.position, 3)
})

const prefixes: readonly { parts: readonly RegexPart[]; prefix: string }[] = [
  { parts: ['sensors/device-001/.*'], prefix: 'sensors/device-001/' },
  { parts: ['abc'], prefix: 'abc' },
  { parts: ['abc*'], prefix: 'ab' },
  { parts: ['abc?'], prefix: 'ab' },
  { parts: ['abc{1,2}'], prefix: 'ab' },
  { parts: ['abc{2}'], prefix: 'ab' },
  { parts: ['ab|ac'], prefix: '' },
  { parts: ['a(b|c)'], prefix: 'a' },
  { parts: ['(?:ab)c.'], prefix: 'abc' },
  { parts: ['(a(b))(c|d)'], prefix: 'ab' },
  { parts: ['(ab)*c'], prefix: '' },
  { parts: ['.*'], prefix: '' },
  { parts: ['\\Qa.b\\E/c\\.d\\x41[e][fg]'], prefix: 'a.b/c.dAe' },
  { parts: ['a\\d'], prefix: 'a' },
  { parts: ['\u{1f600}+'], prefix: '' },
  { parts: ['a/', { hole: 0 }, '/b'], prefix: 'a/' },
  { parts: [{ hole: 0 }, '/b'], prefix: '' },
  { parts: ['\\$SYS/.*'], prefix: '$SYS/' },
]
test('the literal prefix is what every match starts with', () => {
  for (const { parts, prefix } of prefixes) assert.equal(literalPrefix(parts), prefix, JSON.stringify(parts))
})

test('a pattern starts with a $ when it spells one', () => {
  for (const pattern of ['\\$SYS', '\\Q$SYS\\E', '[$]SYS', '\\x24SYS', '(\\$SYS)'])
    assert.equal(startsWithDollar([pattern]), true, pattern)
  for (const pattern of ['SYS', '\\$?SYS', '\\$*', '[$a]SYS', '\\$a|b', '(\\$a|b)', '.', '\\S'])
    assert.equal(startsWithDollar([pattern]), false, pattern)
  assert.equal(startsWithDollar([{ hole: 0 }, '\\$']), false)
})
