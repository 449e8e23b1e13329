import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { MAX_PLAINTEXT_BYTES } from '#src/envelope/envelope.ts'
import type { IncomingMessage } from '#src/messaging/broker.ts'
import { createGathering, MAX_MESSAGES_BYTES } from '#src/messaging/gathering.ts'

const MIB = 1024 * 1024
const message = (members: Partial<IncomingMessage> = {}): IncomingMessage => ({
  topic: 'a',
  payload: utf8('x'),
  qos: 0,
  retain: false,
  properties: {},
  ...members,
})
const long = 'x'.repeat(60_000)
/** Twice this is as much as is kept of one message's properties; each is six bytes of JSON. */
const escaped = '\u0001'.repeat(4_000)

/** What comes to `maxBytes` of payload, or to nothing, and to far more as JSON. */
const growing = [
  { why: 'control characters', one: message({ payload: new Uint8Array(MIB / 4).fill(1) }), many: 32 },
  { why: 'bytes that are not UTF-8', one: message({ payload: new Uint8Array(MIB / 2).fill(0xff) }), many: 16 },
  { why: 'long topics', one: message({ topic: long }), many: 1000 },
  { why: 'many properties', one: message({ properties: { userProperties: { a: [escaped, escaped] } } }), many: 1000 },
  { why: 'text of several bytes', one: message({ payload: utf8('€'.repeat(MIB / 6)) }), many: 17 },
]
for (const { why, one, many } of growing) {
  test(`${why}: the answer is cut before its JSON outgrows an envelope; one message is whole`, async () => {
    const bounds = { maxMessages: 1000, maxBytes: 9 * MIB }
    const gathering = createGathering(bounds, () => 0)
    for (let i = 0; i < many; i++) gathering.add(one)
    const { messages, truncated, bytes } = gathering
    assert.ok(messages.length > 0 && messages.length < many)
    assert.equal(truncated, true)
    await gathering.full
    assert.equal(bytes, messages.length * one.payload.length)
    const answer = { success: true, data: { granted_qos: 0, messages, truncated }, error: null }
    const size = utf8(JSON.stringify(answer)).length
    assert.ok(size <= MAX_MESSAGES_BYTES + 100 && size < MAX_PLAINTEXT_BYTES)
    assert.ok(size + utf8(JSON.stringify(messages[0])).length > MAX_MESSAGES_BYTES, 'it was cut too early')

    const twin = createGathering(bounds, () => 0)
    twin.add(one)
    assert.deepEqual([twin.messages.length, twin.truncated], [1, false])
  })
}

test('a message that is too long by itself is not given in part', () => {
  const gathering = createGathering({ maxMessages: 10, maxBytes: 9 * MIB }, () => 0)
  gathering.add(message({ payload: new Uint8Array(8 * MIB).fill(0xff) }))
  assert.deepEqual([gathering.messages, gathering.truncated, gathering.bytes], [[], true, 0])
})
