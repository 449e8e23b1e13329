import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '#src/core/errors.ts'
import { parseStrictJson } from '#src/core/strict-json.ts'

function refusalOf(text: string): AppError | undefined {
  try {
    parseStrictJson(text)
    return undefined
  } catch (err) {
    assert.ok(err instanceof AppError && err.code === 'request.invalid', String(err))
    return err
  }
}

test('JSON without duplicates is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6, noUnicodeString: false }), (text) => {
      assert.deepEqual(parseStrictJson(text), JSON.parse(text))
    }),
  )
})

test('whatever is read, JSON.parse reads alike; all else is request.invalid', () => {
  const counts = { read: 0, refused: 0 }
  const noise = fc.string({ unit: fc.constantFrom(...'{}[]",:\\ u0061ae-1.\n\u0000'.split('')), maxLength: 4 })
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.nat({ max: 2 }), noise, (text, at, cut, added) => {
      const place = at % (text.length + 1)
      const broken = text.slice(0, place) + added + text.slice(place + cut)
      if (refusalOf(broken)) counts.refused++
      else {
        counts.read++
        assert.deepEqual(parseStrictJson(broken), JSON.parse(broken))
      }
    }),
    { numRuns: 2000 },
  )
  assert.ok(counts.read > 50 && counts.refused > 50, JSON.stringify(counts))
})

/** A JSON string whose characters are written as they are, or escaped where `escaped` says so. */
function spell(name: string, escaped: readonly boolean[]): string {
  const units = Array.from({ length: name.length }, (_, i) => name.charCodeAt(i))
  const written = units.map((unit, i) =>
    escaped[i % escaped.length]
      ? `\\u${unit.toString(16).padStart(4, '0')}`
      : JSON.stringify(String.fromCharCode(unit)).slice(1, -1),
  )
  return `"${written.join('')}"`
}

test('a name twice is refused however it is spelled and wherever it stands; two names are not', () => {
  const spelling = fc.array(fc.boolean(), { minLength: 1, maxLength: 5 })
  const name = fc.string({ unit: 'grapheme', maxLength: 8 })
  const surroundings = fc.constantFrom(['', ''], ['[0,', ']'], ['{"x":[{},{"y":', '}]}'], ['[{"a":"}"},', ']'])
  fc.assert(
    fc.property(name, spelling, spelling, surroundings, (text, one, other, [before, after]) => {
      const object = (second: string) => `${before}{${spell(text, one)}:{"n":[]},"between":0,${second}:2}${after}`
      fc.pre(text !== 'between')
      assert.match(refusalOf(object(spell(text, other)))?.message ?? '', /twice/)
      const twin = object(spell(`${text}~`, other))
      assert.deepEqual(parseStrictJson(twin), JSON.parse(twin))
    }),
  )
})

test('the same name in two objects is no duplicate, and neither is a text', () => {
  for (const text of ['[{"a":1},{"a":2}]', '{"a":{"a":{"a":1}}}', '{"a":["a","a"],"b":"a"}', '{"a":"\\",\\"a\\":1"}'])
    assert.deepEqual(parseStrictJson(text), JSON.parse(text))
})

test('depth and members end where the limits say', () => {
  const limits = { maxDepth: 3, maxMembers: 2 }
  parseStrictJson('[[[]]]', limits)
  assert.throws(() => parseStrictJson('[[[[]]]]', limits), { code: 'request.invalid', message: /deeper than 3/ })
  parseStrictJson('[{"a":1},{"a":1}]', limits)
  assert.throws(() => parseStrictJson('[{"a":1},{"a":1},{"a":1}]', limits), { message: /more than 2 members/ })
})

const MIB = 1024 * 1024
const repeat = (count: number, one: (i: number) => string) => Array.from({ length: count }, (_, i) => one(i)).join(',')
const hostile = [
  { what: 'brackets', text: '['.repeat(MIB) },
  { what: 'braces', text: '{"":'.repeat(MIB / 4) },
  { what: 'members', text: `{${repeat(100_001, (i) => `"${i}":0`)}}` },
  { what: 'empty objects', text: `[${repeat(340_000, () => '{}')},]` },
  { what: 'members and a mistake', text: `{${repeat(90_000, (i) => `"a${i.toString(36)}":0`)},}` },
  { what: 'escaped members and a mistake', text: `{${repeat(70_000, (i) => `"\\u0061${i.toString(36)}":0`)},}` },
  { what: 'members apart by 65,536', text: `{${repeat(65_000, (i) => `"${i * 65_536}":0`)},}` },
  { what: 'a long name twice', text: `{"${'a'.repeat(MIB / 2 - 9)}":1,"${'a'.repeat(MIB / 2 - 9)}":1}` },
  { what: 'a long name of escapes', text: `{"${'\\u0061'.repeat(MIB / 6 - 9)}":` },
  { what: 'backslashes', text: `"${'\\'.repeat(MIB - 1)}` },
  { what: 'quotes', text: '"'.repeat(MIB - 1) },
  { what: 'commas', text: `{${','.repeat(MIB - 1)}` },
  { what: 'digits', text: `${'1'.repeat(MIB - 1)}x` },
]
/**
 * Milliseconds of this thread's time for the shortest of up to five refusals, the first below `enoughMs` ending it. What
 * other processes take meanwhile is not counted: it says nothing about how long a refusal keeps the loop.
 */
function timeRefusal(text: string, enoughMs: number): number {
  assert.ok(text.length > 0.75 * MIB && text.length <= MIB, `${text.length}`)
  let shortestMs = Number.POSITIVE_INFINITY
  for (let i = 0; i < 5 && shortestMs >= enoughMs; i++) {
    const started = process.threadCpuUsage()
    assert.ok(refusalOf(text))
    const { user, system } = process.threadCpuUsage(started)
    shortestMs = Math.min(shortestMs, (user + system) / 1_000)
  }
  return shortestMs
}

test('the time that refusals are measured by does pass', () => {
  const startedMs = performance.now()
  const started = process.threadCpuUsage()
  let used = process.threadCpuUsage(started)
  while (used.user + used.system < 20_000 && performance.now() - startedMs < 30_000)
    used = process.threadCpuUsage(started)
  assert.ok(used.user + used.system >= 20_000)
})

for (const { what, text } of hostile) {
  test(`A29: a body full of ${what} is refused, and blocks the loop for less than 50 ms`, () => {
    const ms = timeRefusal(text, 50)
    assert.ok(ms < 50, `${ms} ms`)
  })
}

test('the costliest body, whose last of 90,000 names is there already, blocks the loop for less than 250 ms', () => {
  const ms = timeRefusal(`{${repeat(90_000, (i) => `"a${i.toString(36)}":0`)},"a0":0}`, 250)
  assert.ok(ms < 250, `${ms} ms`)
})
