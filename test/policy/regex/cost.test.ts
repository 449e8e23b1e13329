import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ANY, REST } from '#src/policy/levels.ts'
import { regexProblem, textRegexProblem } from '#src/policy/regex/check-regex.ts'
import { compileTextRegex, compileTopicRegex } from '#src/policy/regex/compile-regex.ts'
import { regexCoversFilter, regexOverlapsFilter } from '#src/policy/regex/language.ts'
import { patience } from '#test/support/patience.ts'
import { createRandom, freshSeed } from './random.ts'

/** The shortest of three runs: what the work takes, not what the machine did meanwhile. */
function shortestMs(work: () => unknown): number {
  const times = Array.from({ length: 3 }, () => {
    const startedMs = performance.now()
    work()
    return performance.now() - startedMs
  })
  return Math.min(...times)
}

const megabyte = 'a'.repeat(1 << 20)
const noise = (length: number) => {
  const random = createRandom(freshSeed())
  return Array.from({ length }, () => random.pick(['a', 'b'])).join('')
}

/** Patterns at which back-tracking engines go astray, and whether they find anything in a megabyte of a with a mark behind it. */
const loops = [
  { pattern: '(a+)+$', finds: false },
  { pattern: '^(a|a)*$', finds: false },
  { pattern: '(a*)*b', finds: false },
  { pattern: '(a|aa)+$', finds: false },
  { pattern: '(.*)*x', finds: false },
  { pattern: '(a?){100}b', finds: false },
  { pattern: '(.*a){20}b', finds: false },
  { pattern: '([a-z]+)*[0-9]', finds: false },
  { pattern: 'a*a*a*a*a*!', finds: true },
]
for (const { pattern, finds } of loops) {
  test(`${pattern}: a megabyte takes milliseconds`, (t) => {
    assert.equal(textRegexProblem(pattern), undefined)
    for (const mode of ['full', 'search'] as const) {
      const matches = compileTextRegex(pattern, mode)
      assert.equal(matches(`${megabyte}!`), finds)
      const ms = shortestMs(() => matches(megabyte))
      t.diagnostic(`${mode} ${ms.toFixed(1)} ms`)
      assert.ok(ms < patience(100), `${ms} ms`)
    }
  })
}

const bombs = [
  { title: 'a{200}{200}', pattern: 'a{200}{200}' },
  { title: '(a{200}){200}', pattern: '(a{200}){200}' },
  { title: 'ten levels of {200}', pattern: `${'('.repeat(10)}a${'{200})'.repeat(10)}` },
  { title: 'ten levels of {200,}', pattern: `${'('.repeat(10)}a${'{200,})'.repeat(10)}` },
  { title: '10 KB', pattern: 'ab/'.repeat(3_414) },
  { title: '50,000 brackets', pattern: '('.repeat(50_000) },
  { title: '50,000 quantified groups', pattern: '(a*)*'.repeat(10_000) },
]
for (const { title, pattern } of bombs) {
  test(`${title} is refused, at once`, () => {
    assert.notEqual(regexProblem([pattern]), undefined)
    assert.ok(shortestMs(() => regexProblem([pattern])) < 100)
  })
}

const large = [
  { title: '1,000 alternatives', pattern: Array.from({ length: 1_000 }, (_, i) => i.toString(36)).join('|') },
  {
    title: '1,000 alternatives, again and again',
    pattern: `(?:${Array.from({ length: 1_000 }, (_, i) => i.toString(36)).join('|')})*`,
  },
  {
    title: '1,300 characters of their own',
    pattern: Array.from({ length: 1_300 }, (_, i) => String.fromCodePoint(0x4e00 + 2 * i)).join('|'),
  },
  {
    title: '600 classes of their own',
    pattern: Array.from({ length: 600 }, (_, i) => `[^${String.fromCodePoint(0x4e00 + 2 * i)}]`).join(''),
  },
  { title: '1,000 copies', pattern: '([ab]{0,200}){0,5}' },
  { title: '2,000 empty alternatives', pattern: `a${'|'.repeat(2_000)}` },
  { title: '100 groups, each optional', pattern: `${'('.repeat(100)}a${')?'.repeat(100)}` },
  { title: '1,600 optional characters', pattern: 'a?'.repeat(1_600) },
  { title: 'a chain of 4,000 characters behind an open start', pattern: `.*a${'.'.repeat(4_000)}` },
]
for (const { title, pattern } of large) {
  test(`${title}: compiling, matching and comparing end soon`, (t) => {
    assert.equal(regexProblem([pattern]), undefined)
    const name = noise(65_535)
    const compileMs = shortestMs(() => compileTopicRegex([pattern], []).matches('a', false))
    const regex = compileTopicRegex([pattern], [])
    const matchMs = shortestMs(() => regex.matches(name, false))
    const compareMs = shortestMs(() => {
      regexCoversFilter(regex, ['a', ANY, REST], { exact: false, dollar: false })
      regexOverlapsFilter(regex, [REST], { dollar: false })
    })
    t.diagnostic(
      `compile ${compileMs.toFixed(1)} ms, match 64 KB ${matchMs.toFixed(1)} ms, compare ${compareMs.toFixed(1)} ms`,
    )
    assert.ok(compileMs < 1_000 && matchMs < 500 && compareMs < 500, `${compileMs}, ${matchMs}, ${compareMs} ms`)
  })
}

test('a name that costs too much is taken by a deny and not by an allow, and later names are judged as ever', () => {
  const regex = compileTopicRegex([`.*a${'[ab]'.repeat(900)}`], [])
  const name = noise(65_535)
  assert.equal(regex.matches(name, true), true)
  assert.equal(regex.matches(name, false), false)
  for (let i = 0; i < 3; i++) {
    assert.equal(regex.matches(`ba${'b'.repeat(900)}`, false), true)
    assert.equal(regex.matches(`bb${'b'.repeat(900)}`, true), false)
  }
})

test('an automaton that outgrows its room starts anew and stays right', () => {
  const regex = compileTextRegex('[ab]*a[ab]{12}', 'full')
  for (let i = 0; i < 20; i++) {
    const text = noise(3_000)
    assert.equal(regex(text), text.at(-13) === 'a')
  }
})
