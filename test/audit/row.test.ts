import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { AuditEvent } from '#src/audit/audit.ts'
import { type AuditRow, boundedText, encodeRow, formatMicroseconds, headMac, rowHash, rowOf } from '#src/audit/row.ts'
import { utf8 } from '#src/core/bytes.ts'
import { fromHex, toHex } from '#src/core/hex.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'

interface Vectors {
  tenant_id: string
  head_key: string
  rows: { seq: number; row: string; row_bytes: string; prev_hash: string; hash: string; head_mac: string }[]
}
const vectors = JSON.parse(readFileSync(new URL('../vectors/audit-rows.json', import.meta.url), 'utf8')) as Vectors
const bytes = (hex: string) => fromHex(hex) ?? assert.fail(`not hex: ${hex}`)

test('frozen rows: bytes, chain hash and head MAC are those that another program computed', () => {
  assert.ok(vectors.rows.length >= 2)
  const key = opensslProvider.macKey(bytes(vectors.head_key))
  for (const vector of vectors.rows) {
    const { id, seq, at, ...rest } = JSON.parse(vector.row) as AuditRow
    const event: AuditEvent = {
      tenantId: rest.tenant_id,
      action: rest.action,
      outcome: rest.outcome,
      actor: { id: rest.actor.id, address: rest.actor.address ?? '', userAgent: rest.actor.user_agent ?? '' },
      ...(rest.object && { object: rest.object }),
      requestId: rest.request_id ?? '',
      messageId: rest.message_id ?? '',
      detail: rest.detail,
    }
    const atMs = Date.parse(at) + Number(at.slice(23, 26)) / 1000
    const encoded = encodeRow(rowOf(event, { id, seq, atMs }))
    assert.equal(toHex(encoded), vector.row_bytes)
    const hash = rowHash(opensslProvider, vectors.tenant_id, seq, bytes(vector.prev_hash), encoded)
    assert.equal(toHex(hash), vector.hash)
    assert.equal(toHex(headMac(key, vectors.tenant_id, seq, hash)), vector.head_mac)
  }
})

test('a row has exactly the documented members, in order, present also when there is nothing to say', () => {
  const event: AuditEvent = { tenantId: 't', action: 'vault.seal', outcome: 'success', actor: { id: 'system' } }
  assert.equal(
    new TextDecoder().decode(encodeRow(rowOf(event, { id: 'aud_1', seq: 7, atMs: 0 }))),
    '{"id":"aud_1","tenant_id":"t","seq":7,"at":"1970-01-01T00:00:00.000000Z","action":"vault.seal",' +
      '"outcome":"success","actor":{"id":"system","address":null,"user_agent":null},"object":null,' +
      '"request_id":null,"message_id":null,"detail":{}}',
  )
})

const texts = [
  { text: 'a'.repeat(256), kept: 'a'.repeat(256), why: '256 characters fit' },
  { text: 'a'.repeat(257), kept: `${'a'.repeat(255)}…`, why: 'one more is cut, and the cut is marked' },
  { text: `${'a'.repeat(254)}😀bc`, kept: `${'a'.repeat(254)}…`, why: 'a cut leaves no half of a character' },
  { text: 'a\r\nFake: row', kept: 'a\ufffd\ufffdFake: row', why: 'no line can be forged in a log' },
  { text: '\u001b[2Jx\u0000\u007f\u0085', kept: '\ufffd[2Jx\ufffd\ufffd\ufffd', why: 'no escape reaches a terminal' },
  { text: 'gpj\u202e.exe\u2028', kept: 'gpj\ufffd.exe\ufffd', why: 'text does not turn around' },
  { text: 'x\ud800y', kept: 'x\ufffdy', why: 'what is not Unicode is replaced' },
  { text: 'täglich/日本', kept: 'täglich/日本', why: 'other text stays as it is' },
]
for (const { text, kept, why } of texts) {
  test(`boundedText: ${why}`, () => assert.equal(boundedText(text), kept))
}

test('every text of an event is bounded, wherever it stands', () => {
  const long = `${'é'.repeat(300)}\u0000`
  const row = rowOf(
    {
      tenantId: 't',
      action: 'proxy.publish.intent',
      outcome: 'success',
      actor: { id: long, address: long, userAgent: long },
      object: { kind: long, id: long },
      requestId: long,
      messageId: long,
      detail: { topic: long },
    },
    { id: 'aud_1', seq: 1, atMs: 0 },
  )
  const found = [row.actor.id, row.actor.address, row.actor.user_agent, row.object?.kind, row.object?.id]
  found.push(row.request_id, row.message_id, row.detail.topic as string)
  assert.equal(found.length, 8)
  for (const text of found) assert.equal(text, `${'é'.repeat(255)}…`)
})

test('formatMicroseconds keeps the fractions of a millisecond that the clock has', () => {
  const cases: [number, string][] = [
    [0, '1970-01-01T00:00:00.000000Z'],
    [1_793_707_200_123, '2026-11-03T12:00:00.123000Z'],
    [1_793_707_200_123.5, '2026-11-03T12:00:00.123500Z'],
    [1_793_707_200_999.999, '2026-11-03T12:00:00.999999Z'],
  ]
  for (const [atMs, text] of cases) assert.equal(formatMicroseconds(atMs), text)
})

test('rowHash separates tenant, place, predecessor and bytes', () => {
  const zero = new Uint8Array(32)
  const one = Uint8Array.of(...zero.subarray(1), 1)
  const hashes = [
    rowHash(opensslProvider, 'a', 1, zero, utf8('bc')),
    rowHash(opensslProvider, 'ab', 1, zero, utf8('c')),
    rowHash(opensslProvider, 'a', 2, zero, utf8('bc')),
    rowHash(opensslProvider, 'a', 1, one, utf8('bc')),
  ]
  assert.equal(new Set(hashes.map(toHex)).size, hashes.length)
  assert.throws(() => rowHash(opensslProvider, 'a', 1, new Uint8Array(31), zero), RangeError)
})
