import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { htmlDecode } from '#src/guards/html-decode.ts'
import { findJsonStrings } from '#src/guards/json-strings.ts'
import { percentDecode } from '#src/guards/percent-decode.ts'
import { Ranges } from '#src/guards/ranges.ts'
import { scannedTexts } from '#src/guards/scanned-texts.ts'
import { type Decode, TextArena } from '#src/guards/text-arena.ts'
import { unicodeDecode } from '#src/guards/unicode-decode.ts'
import { writeUtf8 } from '#src/guards/utf8-units.ts'

function textAt(units: Uint16Array, from: number, to: number): string {
  return Array.from(units.subarray(from, to), (unit) => String.fromCharCode(unit)).join('')
}

/** What a decoder makes of a text; the text itself when it has no other form. */
function decoded(decode: Decode, text: string): string {
  const arena = new TextArena()
  arena.begin(Buffer.from(text))
  arena.reserve(text.length)
  return decode(arena, 0, text.length) ? textAt(arena.units, text.length, arena.length) : text
}

/** The strings that are found in a text, sorted; `undefined` when it is no JSON. */
function jsonStrings(text: string): string[] | undefined {
  const arena = new TextArena()
  const strings = { plain: new Ranges(), decodable: new Ranges() }
  arena.begin(Buffer.from(text))
  if (!findJsonStrings(arena, 0, text.length, strings)) return undefined
  const ranges = [...strings.plain.indices, ...strings.decodable.indices]
  const all: string[] = []
  for (let i = 0; i < ranges.length; i += 2) all.push(textAt(arena.units, ranges[i] as number, ranges[i + 1] as number))
  return all.sort()
}

function textsOf(payload: string): string[] {
  const { units, texts } = scannedTexts(Buffer.from(payload))
  const all: string[] = []
  for (let i = 0; i < texts.length; i += 2) all.push(textAt(units, texts[i] as number, texts[i + 1] as number))
  return all
}

const percent = [
  ['', ''],
  ['a', 'a'],
  ['%41', 'A'],
  ['x%2e%2E%2fy', 'x../y'],
  ['%2541', '%41'],
  ['%', '%'],
  ['%4', '%4'],
  ['%4g%41', '%4gA'],
  ['%%41', '%A'],
  ['%c3%a9', 'é'],
  ['%F0%9F%98%80', '\u{1f600}'],
  ['%c0%af', '/'],
  ['%c0%ae%c0%ae', '..'],
  ['%e0%80%af', '/'],
  ['%f0%80%80%af', '/'],
  ['%c0', '\ufffd'],
  ['%c0%41', '\ufffdA'],
  ['%c0/', '\ufffd/'],
  ['%80', '\ufffd'],
  ['%ff%41', '\ufffdA'],
  ['%ed%a0%80', '\ufffd\ufffd\ufffd'],
  ['%00', '\0'],
] as const

test('percentDecode: once, overlong forms included', () => {
  for (const [text, wanted] of percent) assert.equal(decoded(percentDecode, text), wanted, text)
})

test('percentDecode: what is well-formed is decoded as the platform does', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeURIComponent(text)
      assert.equal(decoded(percentDecode, encoded), text)
    }),
  )
})

const html = [
  ['&lt;script&gt;', '<script>'],
  ['&LT;', '<'],
  ['&lt', '<'],
  ['&ltscript', '<script'],
  ['&notit;', '&notit;'],
  ['&#60;&#x3c;&#X3C;&#0000060', '<<<<'],
  ['&#60script', '<script'],
  ['&#x3cg', '<g'],
  ['&#;&#x;&;&', '&#;&#x;&;&'],
  ['&#0;&#xd800;&#1114112;&#99999999999999999999;', '\ufffd\ufffd\ufffd\ufffd'],
  ['&#128512;', '\u{1f600}'],
  ['&Tab;&NewLine;&colon;&sol;&bsol;&period;', '\t\n:/\\.'],
  ['&tab', '&tab'],
  ['&amp;lt;', '&lt;'],
  ['a & b && c', 'a & b && c'],
  ['&constructor;&__proto__;&toString;', '&constructor;&__proto__;&toString;'],
] as const

test('htmlDecode: numeric references, and the named ones of ASCII', () => {
  for (const [text, wanted] of html) assert.equal(decoded(htmlDecode, text), wanted, text)
})

test('unicodeDecode: wherever it stands', () => {
  assert.equal(decoded(unicodeDecode, 'a\\u003cb\\u00e9\\u003'), 'a<bé\\u003')
  assert.equal(decoded(unicodeDecode, '\\\\u003c\\U003c'), '\\<\\U003c')
})

test('a decoded form is never longer than its text', () => {
  const pieces = fc.constantFrom(
    '%',
    '41',
    '%41',
    '%c0%af',
    '%f0%9f%98%80',
    '&',
    '&lt',
    ';',
    '&#',
    'x1F600',
    '128512;',
    '\\u0041',
    '\\',
    'u',
    '\u{1f600}',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join('')
      for (const decode of [percentDecode, htmlDecode, unicodeDecode])
        assert.ok(decoded(decode, text).length <= text.length)
    }),
    { numRuns: 2_000 },
  )
})

/** Every string and name of a value, as `JSON.parse` reads them. */
function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  const names = Array.isArray(value) ? [] : Object.keys(value)
  return [...names, ...Object.values(value).flatMap(stringsOf)]
}

test('findJsonStrings finds every string that JSON.parse finds', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), fc.nat({ max: 3 }), (json, spaces) => {
      const text = JSON.stringify(JSON.parse(json), null, spaces)
      assert.deepEqual(jsonStrings(text), stringsOf(JSON.parse(text)).sort())
    }),
    { numRuns: 500 },
  )
})

test('findJsonStrings and JSON.parse agree on what is JSON', () => {
  const pieces = fc.constantFrom(
    ...String.raw`{ } [ ] : , " "a" "" \ \n \u0041 \x \u00 1 - 0 01 .5 1.5 e3 1e+3 E true false null nul % &`.split(
      ' ',
    ),
    ...String.raw`{"a":1} [1,2] {"a":[]} [] {} "a\"b"`.split(' '),
    ...' \n\t\u00a0\0é'.split(''),
  )
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }
  const seen = { true: 0, false: 0 }
  fc.assert(
    fc.property(fc.array(pieces, { minLength: 1, maxLength: 6 }), (parts) => {
      const text = parts.join('')
      const wanted = isJson(text)
      seen[`${wanted}`]++
      assert.equal(jsonStrings(text) !== undefined, wanted, JSON.stringify(text))
    }),
    { numRuns: 20_000 },
  )
  assert.ok(seen.true > 500 && seen.false > 500, JSON.stringify(seen))
})

test('a member that a later one replaces is found too, which JSON.parse would not show', () => {
  assert.deepEqual(jsonStrings('{"a":"x","a":"y"}'), ['a', 'a', 'x', 'y'])
})

test('the texts of a payload are its forms, and those of its strings', () => {
  assert.deepEqual(textsOf('plain'), ['plain'])
  assert.deepEqual(textsOf('%2541'), ['%2541', '%41', 'A'])
  assert.deepEqual(textsOf('%41&lt;'), ['%41&lt;', 'A&lt;', '%41<'])
  assert.deepEqual(textsOf('{"a":"b"}'), ['{"a":"b"}', 'a', 'b'])
  assert.deepEqual(textsOf('["\\u0025\\u0034\\u0031"]'), ['["\\u0025\\u0034\\u0031"]', '%41', 'A'])
  assert.deepEqual(textsOf('{"\\u0041'), ['{"\\u0041', '{"A'])
  assert.deepEqual(textsOf('a\0b'), ['a b'])
  assert.deepEqual(textsOf(''), [''])
})

test('a short payload is looked at in every form; a long one in four times its length, and then it is too much', () => {
  const every = '"%2541&amp;\\u0041"'
  assert.equal(scannedTexts(Buffer.from(every)).complete, true)
  const long = `"${'%2541&amp; and so on'.repeat(1_000)}\\n"`
  assert.equal(scannedTexts(Buffer.from(long)).complete, false)
  const html = JSON.stringify({ html: '<p class="x">a &amp; b, 50%20</p>\n'.repeat(1_000) })
  assert.equal(scannedTexts(Buffer.from(html)).complete, true, 'an HTML page with an address in it')
})

test('what was scanned before leaves nothing behind', () => {
  const large = JSON.stringify(Array.from({ length: 50_000 }, (_, i) => `${i}%41`))
  scannedTexts(Buffer.from(large))
  assert.deepEqual(textsOf('["a","b"]'), ['["a","b"]', 'a', 'b'])
  assert.equal(scannedTexts(Buffer.from('["a')).complete, true)
  assert.deepEqual(textsOf('x'), ['x'])
})

test('writeUtf8 decodes as the platform does, whatever the bytes', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc
      .array(
        fc.constantFrom(
          0x00,
          0x41,
          0x7f,
          0x80,
          0xbf,
          0xc0,
          0xc2,
          0xdf,
          0xe0,
          0xa0,
          0xed,
          0x9f,
          0xef,
          0xf0,
          0x90,
          0xf4,
          0x8f,
          0xf5,
          0xff,
        ),
      )
      .map((list) => Uint8Array.from(list)),
    fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text)),
  )
  fc.assert(
    fc.property(bytes, (payload) => {
      const units = new Uint16Array(payload.length)
      const text = textAt(units, 0, writeUtf8(payload, units))
      assert.equal(text, new TextDecoder('utf-8', { ignoreBOM: true }).decode(payload))
    }),
    { numRuns: 5_000 },
  )
})
