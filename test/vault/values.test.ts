import assert from 'node:assert/strict'
import { test } from 'node:test'
import { credentialTypes, isCredentialType } from '#src/vault/credential-types.ts'
import { decodeValues, encodeMetadata, encodeValues } from '#src/vault/values.ts'

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, i]))
const invalid = { code: 'request.invalid' }

test('credential types: the twenty names, exactly', () => {
  assert.equal(new Set(credentialTypes).size, 20)
  assert.ok(isCredentialType('custom_kv'))
  for (const word of ['Custom_kv', 'custom_kv ', '', 'toString', '__proto__'])
    assert.equal(isCredentialType(word), false)
})

const accepted = [
  ['one member', { a: 1 }],
  ['64 members', many(64)],
  ['a name of 128 characters', { ['n'.repeat(128)]: 1 }],
  ['exactly 64 KiB', { a: 'x'.repeat(65_536 - 8) }],
  ['nested values, null, any text', { a: { b: [null, true, 1.5] }, c: 'ß\u0000\ud800 "\\' }],
  ['two asterisks, and asterisks among others', { a: '**', b: '***x' }],
] as const
for (const [why, values] of accepted) {
  test(`values: ${why} come back as they were`, () => assert.deepEqual(decodeValues(encodeValues(values)), values))
}

const refused = [
  ['no member', {}],
  ['65 members', many(65)],
  ['a name of 129 characters', { ['n'.repeat(129)]: 1 }],
  ['an empty name', { '': 1 }],
  ['a byte over 64 KiB', { a: 'x'.repeat(65_536 - 7) }],
  ['an array', ['a']],
  ['null', null],
  ['text', 'a'],
  ['a mask', { hostname: 'broker.example', password: '****' }],
  ['a mask of bullets', { password: '••••••••' }],
] as const
for (const [why, values] of refused) {
  test(`values: ${why} is refused`, () => assert.throws(() => encodeValues(values), invalid))
}

test('values: __proto__, constructor and toString are members like any other', () => {
  const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":"x"}'
  const values = decodeValues(encodeValues(JSON.parse(text)))
  assert.equal(JSON.stringify(values), text)
  assert.deepEqual(Object.keys(values), ['__proto__', 'constructor', 'toString'])
  assert.equal(({} as { polluted?: boolean }).polluted, undefined)
})

test('metadata: an object of at most 8 KiB that PostgreSQL can keep', () => {
  assert.equal(encodeMetadata(), '{}')
  assert.equal(encodeMetadata({ a: 'x'.repeat(8_184) }).length, 8_192)
  assert.equal(encodeMetadata({ a: '\\u0000 \u0001' }), '{"a":"\\\\u0000 \\u0001"}')
  for (const bad of [
    { a: 'x'.repeat(8_185) },
    { a: 'b\u0000' },
    { 'a\u0000': 1 },
    { a: '\ud800' },
    { a: '\\\u0000' },
    [],
    null,
    'a',
  ]) {
    assert.throws(() => encodeMetadata(bad), invalid, JSON.stringify(bad)?.slice(0, 40))
  }
})
