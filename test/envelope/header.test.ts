import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Bytes, concatBytes, utf8 } from '#src/core/bytes.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import { encodeHeader, parseHeader } from '#src/envelope/header.ts'
import { EXPECTED, type Forgery, forge, headerOf, open } from './forge.ts'
import { ANSWER, makeIssuer, makeParties, makeRecipient, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)

/** Replaces exactly one occurrence, so that a case that changes nothing fails. */
const swap = (from: string, to: string) => (json: string) => {
  assert.equal(json.split(from).length, 2, `${from} occurs once`)
  return json.replace(from, to)
}
const bytesAfter = (json: string, text: string, bytes: readonly number[]): Bytes => {
  const at = json.indexOf(text) + text.length
  return concatBytes(utf8(json.slice(0, at)), new Uint8Array(bytes), utf8(json.slice(at)))
}

interface Case {
  why: string
  spell: NonNullable<Forgery['spell']>
  /** The twin; by default the header as it is. */
  good?: Forgery
  event?: true
}

const id64 = 'r'.repeat(64)
const cases: Case[] = [
  { why: 'a duplicate member', spell: swap('"st":200', '"st":200,"st":200') },
  { why: 'a duplicate by escape', spell: swap('"st":200', '"st":200,"\\u0073t":200') },
  { why: 'white space', spell: swap('{"v":2', '{ "v":2') },
  { why: 'a trailing newline', spell: (json) => `${json}\n` },
  { why: 'another order', spell: swap('"st":200,"seq":null', '"seq":null,"st":200') },
  { why: 'an escape in a value', spell: swap('req_one', 'req\\u005fone') },
  { why: 'a number with an exponent', spell: swap('1795000000', '1795e6') },
  { why: 'a number with a fraction', spell: swap('1795000000', '1795000000.0') },
  { why: 'minus zero', spell: swap('"seq":1', '"seq":-0'), event: true },
  { why: 'zero', spell: swap('"seq":1', '"seq":0'), event: true },
  {
    why: '2^53 + 1',
    spell: swap('"seq":1', '"seq":9007199254740993'),
    good: { spell: swap('"seq":1', '"seq":9007199254740991') },
    event: true,
  },
  { why: 'a number as string', spell: swap('"iat":1795000000', '"iat":"1795000000"') },
  { why: 'true for a number', spell: swap('"st":200', '"st":true') },
  { why: 'an object for a string', spell: swap('"sub":"int_one"', '"sub":{}') },
  { why: 'an array for a string', spell: swap('"sub":"int_one"', '"sub":["int_one"]') },
  { why: 'an unknown member', spell: (json) => `${json.slice(0, -1)},"x":1}` },
  { why: 'a missing member', spell: swap('"seq":null,', '') },
  { why: 'a member named __proto__', spell: (json) => `${json.slice(0, -1)},"__proto__":null}` },
  { why: '__proto__ in place of a member', spell: swap('"seq":null', '"__proto__":{"seq":null}') },
  { why: 'a byte order mark', spell: (json) => `\ufeff${json}` },
  { why: 'broken UTF-8', spell: (json) => bytesAfter(json, 'req_on', [0xff]) },
  { why: 'an encoded surrogate', spell: (json) => bytesAfter(json, 'req_on', [0xed, 0xa0, 0x80]) },
  { why: 'an escaped lone surrogate', spell: swap('req_one', 'req_\\ud800') },
  { why: 'an id that is not ASCII', spell: swap('req_one', 'req_é') },
  { why: 'an id of 65 characters', spell: swap('req_one', `${id64}r`), good: { spell: swap('req_one', id64) } },
  { why: 'an empty id', spell: swap('req_one', ''), good: { spell: swap('req_one', 'r') } },
  { why: 'a NUL in an id', spell: (json) => bytesAfter(json, 'req_on', [0]) },
  { why: 'an escaped NUL in an id', spell: swap('req_one', 'req\\u0000one') },
  { why: 'a path in an id', spell: swap('req_one', '../req_one') },
  { why: 'an array', spell: (json) => `[${json}]` },
  { why: 'null', spell: () => 'null' },
  { why: 'an array where an object belongs', spell: () => '[]' },
  { why: 'a hash of 63 characters', spell: swap('h'.repeat(64), 'h'.repeat(63)) },
  { why: 'a status of 600', spell: swap('"st":200', '"st":600'), good: { spell: swap('"st":200', '"st":599') } },
  { why: 'version 3', spell: swap('"v":2', '"v":3') },
]
assert.ok(cases.length > 0)

for (const { why, spell, good = {}, event } of cases) {
  test(`a signed header is refused for ${why}, and its twin opens`, async () => {
    const claims = event && { op: 'stream.event', st: null, seq: 1 }
    const expected = event && { op: 'stream.event' }
    const bad = await forge(parties, { ...(claims && { claims }), spell })
    assert.throws(() => open(parties, bad, expected), refusal())
    const twin = await forge(parties, { ...(claims && { claims }), ...good })
    const { rqh } = EXPECTED
    assert.deepEqual(open(parties, twin, { ...expected, rqh }).plaintext, PLAINTEXT)
  })
}

for (const provider of [opensslProvider, nobleProvider]) {
  test(`the longest header, 785 bytes, opens with ${provider.name}`, async () => {
    const long = (name: string): string => name.padEnd(64, 'x')
    const ids = { tenantId: long('ten'), recipientId: long('rcp'), kemKeyId: long('kem'), macKeyId: long('mac') }
    const issuer = makeIssuer(provider, 'one', long('sig'))
    const longest = { provider, recipient: makeRecipient(provider, 'one', ids), issuer }
    const exp = Number.MAX_SAFE_INTEGER
    const claims = { op: long('op'), sub: long('sub'), rid: long('rid'), iat: exp - 300, exp }
    assert.equal(encodeHeader(headerOf(longest, claims)).length, 785)
    const expected = { op: claims.op, sub: claims.sub, nowS: claims.iat }
    assert.deepEqual(open(longest, await forge(longest, { claims }), expected).plaintext, PLAINTEXT)
  })
}

test('a header of 801 bytes is refused unread, one of 800 is read', (t) => {
  const parse = t.mock.method(JSON, 'parse')
  const padded = (length: number): Bytes => utf8(JSON.stringify(headerOf(parties)).padEnd(length))
  assert.equal(parseHeader(padded(801)), undefined)
  assert.equal(parse.mock.callCount(), 0)
  assert.equal(parseHeader(padded(800)), undefined)
  assert.equal(parse.mock.callCount(), 1)
})

test('an envelope with a header of 801 bytes is refused', async () => {
  const spell = (json: string): string => json.padEnd(801)
  assert.throws(() => open(parties, JSON.parse('{}')), refusal())
  const envelope = await forge(parties, { spell })
  assert.throws(() => open(parties, envelope), refusal())
})

test('writing a parsed header gives the same bytes', () => {
  const bytes = encodeHeader(headerOf(parties))
  assert.deepEqual(encodeHeader(parseHeader(bytes) ?? assert.fail()), bytes)
})

test('a header that readers would refuse is not written', () => {
  assert.throws(() => encodeHeader(headerOf(parties, { exp: ANSWER.iat })), RangeError)
  assert.throws(() => encodeHeader(headerOf(parties, { rid: 'a b' })), RangeError)
  assert.ok(encodeHeader(headerOf(parties)))
})
