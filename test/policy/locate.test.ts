import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { locate, locateAll, type Position, positionAt } from '#src/policy/locate.ts'
import { quote } from '#src/policy/problems.ts'
import { propertySeed } from './properties/seed.ts'

const text = `{
  "schema": "mqtt-policy/1",
  "rules": [
    { "id": "a", "topics": ["x", {"regex": "y"}] },
    { "odd key": {"\\u0041b": 1}, "topics" : [ ] , "__proto__": {"id": 2}, "7": [3] }
  ]
}`

const cases: readonly [path: string, line: number, column: number, why: string][] = [
  ['', 1, 1, 'the document itself'],
  ['schema', 2, 13, 'a member'],
  ['rules[0].topics[1].regex', 4, 44, 'members and elements'],
  ['rules[1]["odd key"]', 5, 18, 'a name in quotes'],
  ['rules[1]["odd key"].Ab', 5, 30, 'a name that the text escapes'],
  ['rules[1].topics', 5, 45, 'space before a colon'],
  ['rules[1].__proto__.id', 5, 71, 'a name that objects have anyway'],
  ['rules[1]["7"][0]', 5, 81, 'a name that looks like a number'],
  ['rules[1].effect', 5, 5, 'a member that is missing: the object that it is missing from'],
  ['rules[9].topics[3]', 3, 12, 'an element that is missing, with all below it'],
]

describe('locate', () => {
  for (const [path, line, column, why] of cases)
    test(`${path || '(empty)'}: ${why}`, () => assert.deepEqual(locate(text, path), { line, column }))

  test('what is no path is nowhere', () => {
    for (const path of ['line 7', 'rules[', 'a..b', '[x]', 'a b']) assert.equal(locate(text, path), undefined, path)
  })

  test('a long name is found by the part of it that messages quote', () => {
    const name = `${'n'.repeat(60)} \u{1f600}\u{1f600}\u{1f600}`
    assert.deepEqual(locate(JSON.stringify({ a: 0, [name]: 1 }), `[${quote(name)}]`), { line: 1, column: 78 })
  })

  test('lines end in \\n, \\r\\n and \\r; columns count UTF-16 units', () => {
    assert.deepEqual(locate('{"a":1,\r\n"b":2,\r"c":3,\n"\u{1f600}": 4}', '["\u{1f600}"]'), { line: 4, column: 7 })
    assert.deepEqual(positionAt('a\r\nb\rc', 5), { line: 3, column: 1 })
  })

  test('the first of equal names is found, as nothing else is promised of a text that parsers refuse', () => {
    assert.deepEqual(locate('{"a":1,"a":2}', 'a')?.line, 1)
  })
})

/** A writer that notes where it puts each value. */
function write(value: unknown, space: string): { text: string; places: Map<string, Position> } {
  let out = ''
  const places = new Map<string, Position>()
  const gap = () => (out += space)
  const put = (one: unknown, path: string): void => {
    gap()
    const lines = out.split('\n')
    places.set(path, { line: lines.length, column: (lines.at(-1) ?? '').length + 1 })
    if (typeof one !== 'object' || one === null) {
      out += JSON.stringify(one)
    } else {
      out += Array.isArray(one) ? '[' : '{'
      for (const [i, [name, member]] of Object.entries(one).entries()) {
        if (i > 0) out += ','
        gap()
        if (Array.isArray(one)) put(member, `${path}[${i}]`)
        else {
          out += JSON.stringify(name)
          gap()
          out += ':'
          put(member, `${path}[${quote(name)}]`)
        }
      }
      gap()
      out += Array.isArray(one) ? ']' : '}'
    }
    gap()
  }
  put(value, '')
  return { text: out, places }
}

test('every value of any JSON text is found where it was written, one by one and all in one pass', () => {
  let found = 0
  const names = fc.oneof(fc.constantFrom('a', 'b', '"', '\\', '__proto__', '0', 'é'), fc.string({ maxLength: 5 }))
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.double({ noNaN: true })),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 4 }),
    ),
  }))
  const spaces = fc.constantFrom('', ' ', '\n', ' \t\n ')
  const property = fc.property(tree, spaces, (value, space) => {
    const { text: written, places } = write(value, space)
    assert.deepEqual(JSON.parse(written), JSON.parse(JSON.stringify(value)))
    const paths = [...places.keys()]
    assert.deepEqual(locateAll(written, paths), [...places.values()])
    for (const path of paths.slice(0, 3)) assert.deepEqual(locate(written, path), places.get(path))
    found += paths.length
  })
  fc.assert(property, { seed: propertySeed(), numRuns: 2_000 })
  assert.ok(found > 10_000, `only ${found}`)
})

test('a hundred places in 10 MB of one line are found in one pass', () => {
  const rules = Array.from({ length: 100_000 }, (_, i) => ({ id: `r${i}`, topics: ['x'.repeat(60)] }))
  const large = JSON.stringify({ rules })
  const paths = Array.from({ length: 100 }, (_, i) => `rules[${99_000 + i}].topics[0]`)
  const start = process.cpuUsage().user
  const positions = locateAll(large, paths)
  const ms = (process.cpuUsage().user - start) / 1000
  assert.ok(large.length > 8_000_000 && ms < 3_000, `${ms} ms`)
  for (const position of positions) assert.ok(large.startsWith('"xxx', (position?.column ?? 0) - 1))
})
