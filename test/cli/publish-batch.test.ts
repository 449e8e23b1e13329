import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { serialiseRecipient } from '#src/sdk/index.ts'
import { runCli, type Terminal } from '#test/support/cli.ts'
import { refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-batch-'))
const recipientFile = path.join(folder, 'recipient.json')
const batchFile = path.join(folder, 'messages.jsonl')
await writeFile(recipientFile, serialiseRecipient(stub.recipient), { mode: 0o600 })
after(async () => {
  await stub.close()
  await rm(folder, { recursive: true })
})

const ID = 'msg_01kat4hvr07rf9mm9f7nrvz4gg'
const item = (index: number, outcome = 'acknowledged', more: object = {}) => ({
  index,
  message_id: `${ID}.${index}`,
  outcome,
  qos: 1,
  retain: false,
  reason_code: 0,
  ...more,
})
const answer = (outcome: string, items: readonly ReturnType<typeof item>[], counts: object) => ({
  outcome,
  message_id: ID,
  integration_id: 'int_1',
  topic: 'a',
  items,
  counts,
  sent_at: '2026-11-21T09:00:00.000Z',
  completed_at: '2026-11-21T09:00:00.004Z',
})
const error = (code: string) => ({ code, status: 500, message: 'It was not to be.\u001b[2J', details: null })
const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key', SEALWIRE_RECIPIENT: recipientFile }
const publish = (text: string | undefined, more: readonly string[] = [], terminal: Terminal = {}) =>
  runCli(['publish', 'int_1', '--batch', '-', ...more], { env, stdin: utf8(text ?? ''), ...terminal })
const payloadOf = () => JSON.parse(Buffer.from(stub.seen[0]?.body ?? []).toString()).payload

beforeEach(() => {
  stub.reset()
  stub.answerWith((request) => stub.sealed(request, success(answer('acknowledged', [item(0)], { acknowledged: 1 }))))
})

const LINES = `{"message": "22.5"}

{"topic": "b", "message": {"roomTemp": 3}, "qos": 2, "retain": true, "properties": {"content_type": "x", "user_properties": {"a_b": "c"}}}
`
const MESSAGES = [
  { message: '22.5', encoding: 'utf8' },
  {
    topic: 'b',
    message: { roomTemp: 3 },
    encoding: 'json',
    qos: 2,
    retain: true,
    properties: { content_type: 'x', user_properties: { a_b: 'c' } },
  },
]

test('publish --batch - reads a JSON object a line, and options are for those that name none', async () => {
  const { code, out, err } = await publish(LINES, ['-t', 'a', '-q', '1', '--content-type', 'y'])
  assert.deepEqual([code, out, err], [0, `0  acknowledged  ${ID}.0  qos 1`, 'acknowledged: 1 acknowledged'])
  assert.deepEqual(payloadOf(), { topic: 'a', qos: 1, properties: { content_type: 'y' }, messages: MESSAGES })
})

test('publish --batch FILE reads a JSON array too', async () => {
  const [first, second] = LINES.trim().split('\n\n')
  await writeFile(batchFile, `[${first},\n ${second}]`)
  const { code } = await runCli(['publish', 'int_1', '--batch', batchFile, '--encoding', 'base64'], { env })
  assert.equal(code, 0)
  const [{ encoding }, other] = payloadOf().messages
  assert.deepEqual([encoding, other.encoding], ['base64', 'base64'])
})

test('--json prints result and envelope', async () => {
  const { code, out } = await publish(LINES, ['--json'])
  const { result, envelope } = JSON.parse(out) as { result: { items: unknown[] }; envelope: { version: number } }
  assert.deepEqual([code, result.items.length, envelope.version], [0, 1, 2])
})

const partial = [
  { what: 'of one nobody knows', outcomes: ['acknowledged', 'unavailable', 'unknown', 'denied'], code: 3 },
  { what: 'one was not sent', outcomes: ['sent', 'denied', 'unavailable'], code: 4 },
  { what: 'one was denied', outcomes: ['acknowledged', 'denied'], code: 1 },
  { what: 'one was rejected', outcomes: ['acknowledged', 'rejected'], code: 1 },
] as const
for (const { what, outcomes, code } of partial) {
  test(`a partial batch exits ${code} when ${what}, and says so line by line`, async () => {
    const items = outcomes.map((outcome, i) =>
      item(i, outcome, outcome === 'acknowledged' || outcome === 'sent' ? {} : { error: error('some.code') }),
    )
    const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, 1]))
    stub.answerWith((request) => stub.sealed(request, success(answer('partial', items, counts)), { status: 207 }))
    const answered = await publish(LINES)
    assert.equal(answered.code, code)
    const lines = answered.out.split('\n')
    assert.equal(lines.length, outcomes.length)
    assert.ok(lines.every((line, i) => line.startsWith(`${i}  ${outcomes[i]}  ${ID}.${i}  qos 1`)))
    assert.ok(lines.some((line) => line.endsWith('some.code: It was not to be.\\u{1b}[2J')))
    assert.match(answered.err, /^partial: 1 /)
  })
}

test('a refused batch prints its items and the error, and not the items as details', async () => {
  const items = [
    item(0, 'denied', { error: error('policy.denied') }),
    item(1, 'denied', { error: error('guard.refused') }),
  ]
  stub.answerWith((request) =>
    stub.sealed(request, refusal('policy.denied', { counts: { denied: 2 }, items }), { status: 403 }),
  )
  const { code, out, err } = await publish(LINES)
  assert.equal(code, 1)
  assert.match(out, /^0 {2}denied .*policy\.denied.*\n1 {2}denied .*guard\.refused/)
  assert.match(err, /error: policy\.denied/)
  assert.match(err, /details: \{"counts":\{"denied":2\}\}/)
})

test('an unknown batch exits 3 and says how to ask again', async () => {
  stub.answerWith((request) => stub.sealed(request, refusal('outcome.unknown', { message_id: ID }), { status: 504 }))
  const { code, err } = await publish(LINES, ['--idempotency-key', 'again'])
  assert.equal(code, 3)
  assert.match(err, /--idempotency-key again/)
})

test('--dry-run prints a decision a message', async () => {
  const decision = { index: 0, allowed: false, qos: 1, retain: false, reason: 'because', rule: null, guard: null }
  const data = {
    dry_run: true,
    allowed: false,
    operation: 'publish',
    policy_id: null,
    policy_revision: null,
    items: [decision],
  }
  stub.answerWith((request) => stub.sealed(request, success(data)))
  assert.deepEqual(await publish(LINES, ['--dry-run']), { code: 0, out: '0  refused  qos 1  because', err: '' })
})

const misuse: readonly { why: string; text: string; args?: string[]; says: RegExp }[] = [
  { why: 'nothing', text: '\n\n', says: /holds 0 messages/ },
  { why: 'too many', text: '{"message":1}\n'.repeat(1001), says: /holds 1001 messages; a batch is 1 to 1000/ },
  { why: 'a line that is no JSON', text: '{"message":1}\n\nnope\n', says: /standard input:3: is not JSON/ },
  {
    why: 'a line without a message',
    text: '{"topic":"a"}\n',
    says: /standard input:1: is not an object with a member/,
  },
  { why: 'an array with something else', text: '[{"message":1}, 2]', says: /standard input: \[1\]: is not an object/ },
  { why: 'a message beside the batch', text: LINES, args: ['-m', 'x'], says: /--batch is in place of -m/ },
]
for (const { why, text, args, says } of misuse) {
  test(`${why} is misuse, and nothing is sent`, async () => {
    const { code, err } = await publish(text, args)
    assert.equal(code, 2)
    assert.match(err, says)
    assert.equal(stub.seen.length, 0)
  })
}

test('--help teaches the file format and the exit codes', async () => {
  const { out } = await runCli(['publish', '--help'], { env })
  assert.match(out, /--batch <file>/)
  assert.match(out, /\{"message": "22\.5"\}/)
  assert.match(out, /exit code 0 when all\s+went out/)
})
