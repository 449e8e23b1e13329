import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import type { Expectation, IssuerKey } from '#src/envelope/open.ts'
import { forge, open } from './forge.ts'
import { makeParties, NOW_S, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const parties = makeParties(opensslProvider)
const DAY_S = 24 * 3600

interface Situation {
  claims?: Partial<ProtectedHeader>
  expected?: Partial<Expectation>
  key?: Partial<IssuerKey>
}
interface Case {
  why: string
  bad: Situation
  good: Situation
  code?: ErrorCode
}

const event = { op: 'stream.event', st: null, seq: 1 }
const delivery = { op: 'webhook.delivery', sub: 'sub_one', rqh: null, st: null }
const message = { op: 'stored.message', sub: 'sub_one', rqh: null, st: null, seq: 1, exp: NOW_S + 90 * DAY_S }
const object = { op: 'stored.object', sub: null, rqh: null, st: null, exp: null }
const expecting = ({ op, sub, rqh }: Partial<ProtectedHeader>) => ({
  ...(op !== undefined && { op }),
  ...(sub !== undefined && { sub }),
  ...(rqh !== undefined && { rqh }),
})
const at = (nowS: number): Situation => ({ expected: { nowS } })
const change = (kind: Partial<ProtectedHeader>, claims: Partial<ProtectedHeader>): Situation => ({
  claims: { ...kind, ...claims },
  expected: expecting(kind),
})
const asAnswer = (claims: Partial<ProtectedHeader>): Situation => ({
  claims,
  expected: { ...expecting(claims), op: 'answer' },
})

const cases: Case[] = [
  { why: 'exp = iat', bad: { claims: { exp: NOW_S } }, good: { claims: { exp: NOW_S + 1 } } },
  { why: 'a life of 301 s', bad: { claims: { exp: NOW_S + 301 } }, good: { claims: { exp: NOW_S + 300 } } },
  { why: 'an answer that never expires', bad: { claims: { exp: null } }, good: {} },
  { why: 'an answer without status', bad: { claims: { st: null } }, good: {} },
  { why: 'an answer with seq', bad: { claims: { seq: 1 } }, good: {} },
  { why: 'an event without seq', bad: change(event, { seq: null }), good: change(event, {}) },
  { why: 'an event without subject', bad: change({ ...event, sub: null }, {}), good: change(event, {}) },
  { why: 'an event with status', bad: change(event, { st: 200 }), good: change(event, {}) },
  { why: 'a delivery with request hash', bad: change(delivery, { rqh: 'h'.repeat(64) }), good: change(delivery, {}) },
  {
    why: 'a stored message of 90 days and 1 s',
    bad: change(message, { exp: message.exp + 1 }),
    good: change(message, {}),
  },
  { why: 'a stored message that never expires', bad: change(message, { exp: null }), good: change(message, {}) },
  { why: 'a stored object that expires', bad: change(object, { exp: NOW_S + 1 }), good: change(object, {}) },
  { why: 'an event offered as an answer', bad: asAnswer(event), good: change(event, {}), code: 'envelope.mismatch' },
  {
    why: 'a delivery offered as an answer',
    bad: asAnswer(delivery),
    good: change(delivery, {}),
    code: 'envelope.mismatch',
  },
  {
    why: 'a stored message offered as an answer',
    bad: asAnswer(message),
    good: change(message, {}),
    code: 'envelope.mismatch',
  },
  {
    why: 'a stored object offered as an answer',
    bad: asAnswer(object),
    good: change(object, {}),
    code: 'envelope.mismatch',
  },
  {
    why: 'the answer to another operation',
    bad: { expected: { op: 'proxy.subscribe' } },
    good: { expected: { op: 'answer' } },
    code: 'envelope.mismatch',
  },
  { why: 'another subject', bad: { expected: { sub: 'int_two' } }, good: {}, code: 'envelope.mismatch' },
  { why: 'no subject where one is expected', bad: { claims: { sub: null } }, good: {}, code: 'envelope.mismatch' },
  { why: 'being 61 s early', bad: at(NOW_S - 61), good: at(NOW_S - 60), code: 'envelope.stale' },
  { why: 'being 61 s late', bad: at(NOW_S + 361), good: at(NOW_S + 360), code: 'envelope.stale' },
  { why: 'a key published after iat', bad: { key: { notBefore: NOW_S + 1 } }, good: { key: { notBefore: NOW_S } } },
  { why: 'a key retired before iat', bad: { key: { notAfter: NOW_S - 1 } }, good: { key: { notAfter: NOW_S } } },
]
assert.ok(cases.length > 0)

async function attempt({ claims = {}, expected, key }: Situation): Promise<() => unknown> {
  const envelope = await forge(parties, { claims })
  return () => open(parties, envelope, expected, [{ ...parties.issuer.published, ...key }]).plaintext
}

for (const { why, bad, good, code } of cases) {
  test(`a signed envelope is refused for ${why}, and its twin opens`, async () => {
    assert.throws(await attempt(bad), refusal(code))
    assert.deepEqual((await attempt(good))(), PLAINTEXT)
  })
}

test('what is not authentic has no name, however stale or mismatched it is', async () => {
  const envelope = await forge(parties, { mac: opensslProvider.macKey(new Uint8Array(64)) })
  assert.throws(() => open(parties, envelope, { op: 'proxy.subscribe', nowS: NOW_S + 9999 }), refusal())
  const twin = await forge(parties)
  assert.throws(() => open(parties, twin, { op: 'proxy.subscribe' }), refusal('envelope.mismatch'))
})
