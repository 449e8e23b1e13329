import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { serialiseRecipient } from '#src/sdk/index.ts'
import { runCli } from '#test/support/cli.ts'
import { refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
const recipientFile = path.join(folder, 'recipient.json')
await writeFile(recipientFile, serialiseRecipient(stub.recipient), { mode: 0o600 })
after(async () => {
  await stub.close()
  await rm(folder, { recursive: true })
})

const ID = 'msg_01kat4hvr07rf9mm9f7nrvz4gg'
const claims = { op: 'messages.get', sub: ID }
const STATUS = {
  message_id: ID,
  integration_id: 'int_1',
  request_id: 'req_1',
  state: 'acknowledged',
  reason_code: 0,
  code: null as string | null,
  topic: 'sensors/temperature',
  qos: 1,
  retain: false,
  intended_at: '2026-11-21T09:00:00.000100Z',
  settled_at: '2026-11-21T09:00:00.004200Z',
  late: null as object | null,
}
const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key', SEALWIRE_RECIPIENT: recipientFile }
const message = (more: readonly string[] = []) => runCli(['message', ID, ...more], { env })
const tell = (members: object) =>
  stub.answerWith((request) => stub.sealed(request, success({ ...STATUS, ...members }), { claims }))

beforeEach(() => {
  stub.reset()
  tell({})
})

describe('message', () => {
  test('prints what is known, a line each, and leaves out what is not', async () => {
    const { code, out, err } = await message()
    assert.deepEqual([code, err], [0, ''])
    assert.match(out, /^messageId {5}msg_01kat4hvr07rf9mm9f7nrvz4gg$/m)
    assert.match(out, /^state {9}acknowledged$/m)
    assert.doesNotMatch(out, /null|late|code {10}/)
    assert.equal(stub.seen[0]?.url, `/api/v2/proxy/messages/${ID}`)
  })

  test('tells a late word, and what a batch came to', async () => {
    const at = '2026-11-21T09:00:12.000700Z'
    tell({ code: 'outcome.unknown', late: { state: 'acknowledged', reason_code: 0, at } })
    assert.match((await message()).out, new RegExp(`^late {10}acknowledged at ${at}$`, 'm'))
    const items = { acknowledged: 2, sent: 0, rejected: 1, unavailable: 0, denied: 0, unknown: 0 }
    tell({ state: 'mixed', topic: null, qos: null, retain: null, items })
    assert.match((await message()).out, /^items {9}2 acknowledged, 1 rejected$/m)
  })

  for (const [state, code] of Object.entries({
    sent: 0,
    rejected: 1,
    denied: 1,
    mixed: 1,
    unknown: 3,
    unavailable: 4,
    in_progress: 4,
  })) {
    test(`the exit code of ${state} is ${code}`, async () => {
      tell({ state })
      assert.equal((await message()).code, code)
    })
  }

  test('--json prints result and envelope', async () => {
    const { code, out } = await message(['--json'])
    const { result, envelope } = JSON.parse(out) as { result: { messageId: string }; envelope: { version: number } }
    assert.deepEqual([code, result.messageId, envelope.version], [0, ID, 2])
  })

  test('a message that nobody knows is a refusal', async () => {
    stub.answerWith((request) => stub.sealed(request, refusal('object.not_found'), { status: 404, claims }))
    const { code, err } = await message()
    assert.equal(code, 1)
    assert.match(err, /object\.not_found/)
  })

  test('what others wrote cannot steer the terminal', async () => {
    tell({ topic: 'a\u001b[2J' })
    assert.doesNotMatch((await message()).out, /\u001b/)
  })

  test('the help says what each state means, and when it is sent again', async () => {
    const { out } = await runCli(['message', '--help'], { env })
    for (const word of ['acknowledged', 'unavailable', 'mixed', '--idempotency-key', 'Exit codes'])
      assert.ok(out.includes(word), word)
  })
})
