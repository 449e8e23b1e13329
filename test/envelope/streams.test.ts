import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { ProtectedHeader } from '#src/envelope/header.ts'
import type { Expectation } from '#src/envelope/open.ts'
import { forge, open } from './forge.ts'
import { makeParties, NOW_S, PLAINTEXT } from './parties.ts'
import { refusal } from './refusal.ts'

const DAY_S = 24 * 3600
const [opening, reconnect] = ['o'.repeat(64), 'r'.repeat(64)]

const event = { op: 'stream.event', sub: 'int_one', rqh: opening, st: null, seq: 1 }
const delivery = { op: 'webhook.delivery', sub: 'sub_one', rqh: null, st: null, seq: null }
const message = { op: 'stored.message', sub: 'sub_one', rqh: null, st: null, seq: 1, exp: NOW_S + 90 * DAY_S }

const ofStream = { op: 'stream.event', sub: 'int_one', rqh: opening }
const ofSubscription = { op: 'webhook.delivery', sub: 'sub_one', rqh: null }

interface Case {
  why: string
  claims: Partial<ProtectedHeader>
  expected: Partial<Expectation>
  code?: ErrorCode
  /** What the reader takes instead. */
  twin: { claims: Partial<ProtectedHeader>; expected: Partial<Expectation> }
}
const goodEvent = { claims: event, expected: ofStream }
const goodDelivery = { claims: delivery, expected: ofSubscription }

const cases: Case[] = [
  {
    why: 'an event of another stream of the same caller: other request, same integration',
    claims: { ...event, rqh: 'p'.repeat(64) },
    expected: ofStream,
    code: 'envelope.mismatch',
    twin: goodEvent,
  },
  {
    why: 'an event of another integration',
    claims: { ...event, sub: 'int_two' },
    expected: ofStream,
    code: 'envelope.mismatch',
    twin: goodEvent,
  },
  {
    why: 'a recorded event after a reconnect',
    claims: event,
    expected: { ...ofStream, rqh: reconnect },
    code: 'envelope.mismatch',
    twin: { claims: { ...event, rqh: reconnect }, expected: { ...ofStream, rqh: reconnect } },
  },
  {
    why: 'an event of a stream that was opened without a nonce',
    claims: { ...event, rqh: null },
    expected: ofStream,
    code: 'envelope.mismatch',
    twin: goodEvent,
  },
  {
    why: 'the answer to the request that opened the stream, as its first event',
    claims: { op: 'proxy.stream', sub: 'int_one', rqh: opening, st: 200, seq: null },
    expected: ofStream,
    code: 'envelope.mismatch',
    twin: goodEvent,
  },
  {
    why: 'a bare stored message as an event',
    claims: message,
    expected: { ...ofStream, sub: 'sub_one', rqh: null },
    code: 'envelope.mismatch',
    twin: { claims: message, expected: { op: 'stored.message', sub: 'sub_one', rqh: null } },
  },
  {
    why: 'a bare stored message as a delivery',
    claims: message,
    expected: ofSubscription,
    code: 'envelope.mismatch',
    twin: goodDelivery,
  },
  {
    why: 'a stored message of another subscription',
    claims: { ...message, sub: 'sub_two' },
    expected: { op: 'stored.message', sub: 'sub_one', rqh: null },
    code: 'envelope.mismatch',
    twin: { claims: message, expected: { op: 'stored.message', sub: 'sub_one', rqh: null } },
  },
  {
    why: 'an event as a delivery',
    claims: event,
    expected: ofSubscription,
    code: 'envelope.mismatch',
    twin: goodDelivery,
  },
  {
    why: 'a delivery of another subscription',
    claims: { ...delivery, sub: 'sub_two' },
    expected: ofSubscription,
    code: 'envelope.mismatch',
    twin: goodDelivery,
  },
  {
    why: 'a delivery that is replayed after 361 s',
    claims: delivery,
    expected: { ...ofSubscription, nowS: NOW_S + 361 },
    code: 'envelope.stale',
    twin: { claims: delivery, expected: { ...ofSubscription, nowS: NOW_S + 360 } },
  },
  {
    why: 'an event that is replayed after 361 s',
    claims: event,
    expected: { ...ofStream, nowS: NOW_S + 361 },
    code: 'envelope.stale',
    twin: { claims: event, expected: { ...ofStream, nowS: NOW_S + 360 } },
  },
  { why: 'an event that counts from zero', claims: { ...event, seq: 0 }, expected: ofStream, twin: goodEvent },
  { why: 'an event that is not counted', claims: { ...event, seq: null }, expected: ofStream, twin: goodEvent },
  {
    why: 'an event that lives 301 s',
    claims: { ...event, exp: NOW_S + 301 },
    expected: ofStream,
    twin: { claims: { ...event, exp: NOW_S + 300 }, expected: ofStream },
  },
  {
    why: 'a delivery that lives as long as what it carries',
    claims: { ...delivery, exp: message.exp },
    expected: ofSubscription,
    twin: goodDelivery,
  },
  { why: 'a delivery that is counted', claims: { ...delivery, seq: 1 }, expected: ofSubscription, twin: goodDelivery },
]

for (const provider of [opensslProvider, nobleProvider]) {
  const parties = makeParties(provider)
  for (const { why, claims, expected, code, twin } of cases) {
    test(`${provider.name}: a reader refuses ${why}, signed as it is, and takes its twin`, async () => {
      const bad = await forge(parties, { claims })
      assert.throws(() => open(parties, bad, expected), refusal(code))
      const good = await forge(parties, { claims: twin.claims })
      assert.deepEqual(open(parties, good, twin.expected).plaintext, PLAINTEXT)
    })
  }

  test(`${provider.name}: the number of an event is in its header, so that a reader sees one left out`, async () => {
    for (const seq of [1, 2, 4]) {
      const { header } = open(parties, await forge(parties, { claims: { ...event, seq } }), ofStream)
      assert.equal(header.seq, seq)
    }
  })
}
