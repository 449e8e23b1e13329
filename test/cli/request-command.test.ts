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

const reply = (message: string, encoding = 'utf8') => ({
  topic: 'replies/1',
  message,
  encoding,
  qos: 0,
  retain: false,
  properties: {},
  received_at: '2026-11-21T09:00:00.005Z',
})
const PUBLISHED = {
  outcome: 'acknowledged',
  message_id: 'msg_01kat4hvr07rf9mm9f7nrvz4gg',
  integration_id: 'int_1',
  topic: 'ask/1',
  qos: 1,
  retain: false,
  reason_code: 0,
  sent_at: '2026-11-21T09:00:00.000Z',
  acknowledged_at: '2026-11-21T09:00:00.004Z',
}
const REQUESTED = { ...PUBLISHED, response_topic: 'replies/1', correlation_data: 'AP8=', reply: reply('pong') }
const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key', SEALWIRE_RECIPIENT: recipientFile }
const run = (...args: string[]) =>
  runCli([args[0] ?? '', 'int_1', '-t', 'ask/1', '-m', 'ping', ...args.slice(1)], { env })
const answerWith = (data: object) => stub.answerWith((request) => stub.sealed(request, success(data)))
// biome-ignore lint/suspicious/noExplicitAny: bodies have many shapes
const body = (): any => JSON.parse(Buffer.from(stub.seen[0]?.body ?? []).toString())

beforeEach(() => {
  stub.reset()
  answerWith(REQUESTED)
})

describe('request', () => {
  test('prints the reply to standard output, and what became of the message to standard error', async () => {
    assert.deepEqual(await run('request', '-q', '1', '-w', '2000'), {
      code: 0,
      out: 'pong',
      err: 'note:  acknowledged  msg_01kat4hvr07rf9mm9f7nrvz4gg  qos 1  ask/1',
    })
    const { operation, payload } = body()
    assert.equal(operation, 'request')
    assert.deepEqual(payload, { topic: 'ask/1', message: 'ping', encoding: 'utf8', qos: 1, wait_ms: 2000 })
  })

  test('a reply that is not UTF-8 is base64 and says so; control characters do not reach the terminal', async () => {
    answerWith({ ...REQUESTED, reply: reply('AP8=', 'base64') })
    assert.equal((await run('request')).out, 'base64:AP8=')
    answerWith({ ...REQUESTED, reply: reply('\u001b[2Jgone') })
    assert.equal((await run('request')).out, '\\u{1b}[2Jgone')
  })

  test('--json prints result and envelope', async () => {
    const { result, envelope } = JSON.parse((await run('request', '--json')).out)
    assert.deepEqual([result.reply.message, result.responseTopic, envelope.version], ['pong', 'replies/1', 2])
  })

  for (const [reason, says] of [
    ['timeout', /no reply: none came in time; -w waits longer/],
    ['withheld', /no reply: one came, and policy or allow list did not let it through/],
    ['not_kept', /no reply: an earlier attempt with this idempotency key had one/],
  ] as const) {
    test(`no reply (${reason}): exit 1, nothing on standard output, the outcome of the message is told`, async () => {
      answerWith({ ...REQUESTED, reply: null, no_reply: reason })
      const { code, out, err } = await run('request')
      assert.deepEqual([code, out], [1, ''])
      assert.match(err, says)
      assert.match(err, /acknowledged {2}msg_/)
    })
  }

  test('an unknown outcome exits 3 and says how to repeat', async () => {
    stub.answerWith((request) => stub.sealed(request, refusal('outcome.unknown', { replied: true }), { status: 504 }))
    const { code, err } = await run('request', '--idempotency-key', 'again')
    assert.equal(code, 3)
    assert.match(err, /^note: a reply came: somebody has the message$/m)
    assert.match(err, /hint: nothing is sent twice if you repeat it with --idempotency-key again/)
  })

  test('--dry-run asks for one', async () => {
    answerWith({ dry_run: true, allowed: false, operation: 'request', topic: 'ask/1', trace: ['response topic: no'] })
    assert.equal((await run('request', '--dry-run')).out, 'refused\nresponse topic: no')
    assert.equal(body().dry_run, true)
  })

  test('--help teaches what it needs', async () => {
    const { code, out } = await runCli(['request', '--help'], { env })
    assert.equal(code, 0)
    for (const text of [
      'reply_prefix',
      'allowed_operations',
      'replies/${clientId}/#',
      'Exit code 1',
      '--correlation-data',
    ]) {
      assert.ok(out.includes(text), text)
    }
  })
})

describe('properties', () => {
  const flags =
    '--content-type text/plain --response-topic r --correlation-data AP8= --user-property a=1 --user-property b=x=y --user-property a= --user-property __proto__=p --message-expiry 4294967295 --payload-format utf8'.split(
      ' ',
    )
  const userProperties = '{"a":["1",""],"b":"x=y","__proto__":"p"}'
  const expected = {
    content_type: 'text/plain',
    response_topic: 'r',
    correlation_data: 'AP8=',
    message_expiry: 4_294_967_295,
    payload_format: 'utf8',
  }
  for (const command of ['publish', 'request']) {
    test(`${command} sends every one of them; without a flag it sends none`, async () => {
      assert.equal((await run(command, ...flags)).code, 0)
      const { user_properties: user, ...rest } = body().payload.properties
      assert.deepEqual(rest, expected)
      assert.equal(JSON.stringify(user), userProperties)
      stub.reset()
      answerWith(REQUESTED)
      await run(command)
      assert.equal('properties' in body().payload, false)
    })
  }

  for (const bad of [
    ['--user-property', 'nothing'],
    ['--message-expiry', '4294967296'],
    ['--message-expiry', '-1'],
    ['--payload-format', 'json'],
  ]) {
    test(`${bad.join(' ')} is misuse, and nothing is sent`, async () => {
      assert.equal((await run('publish', ...bad)).code, 2)
      assert.deepEqual(stub.seen, [])
    })
  }
})
