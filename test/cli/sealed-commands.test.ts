import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { parseRecipient, serialiseRecipient } from '#src/sdk/index.ts'
import { runCli, type Terminal } from '#test/support/cli.ts'
import { bareRefusal, type Responder, refusal, startSealedStub, success } from '#test/support/sealed-answers.ts'

const stub = await startSealedStub()
const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-cli-'))
const recipientFile = path.join(folder, 'recipient.json')
await writeFile(recipientFile, serialiseRecipient(stub.recipient), { mode: 0o600 })
after(async () => {
  await stub.close()
  await rm(folder, { recursive: true })
})

const PUBLISHED = {
  outcome: 'acknowledged',
  message_id: 'msg_01kat4hvr07rf9mm9f7nrvz4gg',
  integration_id: 'int_1',
  topic: 'sensors/temperature',
  qos: 1,
  retain: false,
  reason_code: 0,
  sent_at: '2026-11-21T09:00:00.000Z',
  acknowledged_at: '2026-11-21T09:00:00.004Z',
}
const acknowledges: Responder = (request) => stub.sealed(request, success(PUBLISHED))
const env = { SEALWIRE_URL: stub.url, SEALWIRE_API_KEY: 'qs_test_key', SEALWIRE_RECIPIENT: recipientFile }
const publish = (more: readonly string[] = [], terminal: Terminal = {}) =>
  runCli(['publish', 'int_1', '-t', PUBLISHED.topic, ...more], { env, ...terminal })
const bodyOf = (index = 0) => JSON.parse(Buffer.from(stub.seen[index]?.body ?? []).toString()) as { payload: object }

beforeEach(() => {
  stub.reset()
  stub.answerWith(acknowledges)
})

describe('publish', () => {
  test('prints the outcome on one line and nothing else', async () => {
    assert.deepEqual(await publish(['-m', '22.5', '-q', '1']), {
      code: 0,
      out: 'acknowledged  msg_01kat4hvr07rf9mm9f7nrvz4gg  qos 1  sensors/temperature',
      err: '',
    })
    assert.deepEqual(bodyOf().payload, { topic: PUBLISHED.topic, message: '22.5', encoding: 'utf8', qos: 1 })
  })

  test('--json prints result and envelope', async () => {
    const { code, out } = await publish(['-m', '22.5', '--json'])
    const { result, envelope } = JSON.parse(out) as { result: { outcome: string }; envelope: { version: number } }
    assert.deepEqual([code, result.outcome, envelope.version], [0, 'acknowledged', 2])
  })

  test('--stdin sends bytes as they are, --encoding json a JSON value', async () => {
    await publish(['--stdin'], { stdin: new Uint8Array([0, 255]) })
    await publish(['--encoding', 'json', '-m', '{"speed": 3}', '--retain'])
    assert.deepEqual(bodyOf(0).payload, { topic: PUBLISHED.topic, message: 'AP8=', encoding: 'base64' })
    assert.deepEqual(bodyOf(1).payload, {
      topic: PUBLISHED.topic,
      message: { speed: 3 },
      encoding: 'json',
      retain: true,
    })
  })

  test('--dry-run prints the decision and its trace', async () => {
    const data = {
      dry_run: true,
      allowed: true,
      operation: 'publish',
      topic: 'a',
      trace: ['operation: allowed', 'topic: config.topic'],
    }
    stub.answerWith((request) => stub.sealed(request, success(data)))
    assert.equal((await publish(['-m', 'x', '--dry-run'])).out, 'allowed\noperation: allowed\ntopic: config.topic')
    assert.equal((bodyOf() as { dry_run?: boolean }).dry_run, true)
  })

  test('control characters of a broker do not reach the terminal', async () => {
    const details = { reason: '\u001b[2Jgone' }
    stub.answerWith((request) => stub.sealed(request, refusal('broker.rejected', details), { status: 502 }))
    const { code, err } = await publish(['-m', 'x'])
    assert.equal(code, 1)
    assert.doesNotMatch(err, /\u001b/)
    assert.match(err, /gone/)
  })

  const failures: { what: string; answer: Responder; code: number; err: RegExp }[] = [
    {
      what: 'a refusal exits 1 with code, details and hint',
      answer: (request) =>
        stub.sealed(request, refusal('operation.not_allowed', { allowed_operations: [] }), { status: 403 }),
      code: 1,
      err: /^error: operation\.not_allowed: .*\ndetails: \{"allowed_operations":\[\]\}\nrequest: req_\w+\nhint: add the operation/,
    },
    {
      what: 'an unknown outcome exits 3 and says how to repeat',
      answer: (request) => stub.sealed(request, refusal('outcome.unknown', { message_id: 'msg_1' }), { status: 504 }),
      code: 3,
      err: /^hint: nothing is sent twice if you repeat it with --idempotency-key [0-9a-f-]{36}\nerror: outcome\.unknown/,
    },
    {
      what: 'a bare 401 exits 3: it proves nothing, but says what it says',
      answer: () => bareRefusal(401, 'auth.unauthenticated'),
      code: 3,
      err: /error: unprotected: .*HTTP 401 auth\.unauthenticated.*\nhint: if that is true: check SEALWIRE_API_KEY/,
    },
  ]
  for (const { what, answer, code, err } of failures) {
    test(what, async () => {
      stub.answerWith(answer)
      const transcript = await publish(['-m', 'x'])
      assert.deepEqual([transcript.code, transcript.out], [code, ''])
      assert.match(transcript.err, err)
    })
  }

  test('a busy broker exits 4', async () => {
    stub.answerWith(async (request) => {
      const answer = await stub.sealed(request, refusal('broker.busy'), { status: 503 })
      return { ...answer, headers: { 'Retry-After': '600' } }
    })
    assert.equal((await publish(['-m', 'x'])).code, 4)
  })

  const misuse: { what: string; args: readonly string[]; env?: Record<string, string>; err: RegExp }[] = [
    { what: 'no message', args: [], err: /Give the message/ },
    { what: 'two messages', args: ['-m', 'x', '--stdin'], err: /Give the message/ },
    { what: 'QoS 3', args: ['-m', 'x', '-q', '3'], err: /whole number from 0 to 2/ },
    { what: 'a message that is not JSON', args: ['-m', '{', '--encoding', 'json'], err: /not JSON/ },
    { what: 'an unknown option', args: ['-m', 'x', '--colour'], err: /unknown option[\s\S]*hint: add --help/ },
    {
      what: 'no API key',
      args: ['-m', 'x'],
      env: { ...env, SEALWIRE_API_KEY: '' },
      err: /No API key[\s\S]*hint: export/,
    },
    {
      what: 'no recipient',
      args: ['-m', 'x'],
      env: { ...env, SEALWIRE_RECIPIENT: '' },
      err: /hint: pass --recipient FILE/,
    },
    {
      what: 'a recipient file that is not there',
      args: ['-m', 'x', '--recipient', '/nowhere'],
      err: /no such file[\s\S]*hint: enrol/,
    },
  ]
  for (const { what, args, env: given = env, err } of misuse) {
    test(`${what} is misuse: exits 2 and sends nothing`, async () => {
      const transcript = await publish(args, { env: given })
      assert.deepEqual([transcript.code, transcript.out, stub.seen.length], [2, '', 0])
      assert.match(transcript.err, err)
    })
  }

  test('--api-key works, with a note that it can be seen', async () => {
    const { code, err } = await publish(['-m', 'x', '--api-key', 'qs_test_other'], {
      env: { ...env, SEALWIRE_API_KEY: '' },
    })
    assert.equal(code, 0)
    assert.match(err, /^note: --api-key can be seen/)
    assert.equal(stub.seen[0]?.headers['x-api-key'], 'qs_test_other')
  })

  test('the recipient file names the server when nothing else does', async () => {
    assert.equal((await publish(['-m', 'x'], { env: { ...env, SEALWIRE_URL: '' } })).code, 0)
  })

  test('an interrupt ends it with 3, because the message may have gone out', async () => {
    const controller = new AbortController()
    stub.answerWith(() => {
      controller.abort()
      return 'stay silent'
    })
    const { code, err } = await publish(['-m', 'x'], { signal: controller.signal })
    assert.equal(code, 3)
    assert.match(err, /error: aborted/)
  })
})

describe('subscribe', () => {
  const received = (topic: string, message: string, encoding = 'utf8') => ({
    topic,
    message,
    encoding,
    qos: 0,
    retain: false,
    properties: {},
    received_at: '2026-11-21T09:00:00.000Z',
  })

  test('prints a line for each message, and says when it stopped at a bound', async () => {
    const messages = [received('a/1', '22.5'), received('a/2', 'two\nlines\u0007'), received('a/3', 'AP8=', 'base64')]
    stub.answerWith((request) => stub.sealed(request, success({ granted_qos: 0, messages, truncated: true })))
    assert.deepEqual(await runCli(['subscribe', 'int_1', '-t', 'a/#', '-n', '3', '-w', '100'], { env }), {
      code: 0,
      out: 'a/1 22.5\na/2 two\\nlines\\u{7}\na/3 base64:AP8=',
      err: 'note: there may be more: a bound was met, or the broker, or what says what is allowed, was away meanwhile',
    })
    assert.deepEqual(bodyOf().payload, { topic: 'a/#', max_messages: 3, wait_ms: 100 })
  })

  test('more than 1000 messages is misuse', async () => {
    assert.equal((await runCli(['subscribe', 'int_1', '-n', '1001'], { env })).code, 2)
  })
})

describe('recipients enroll', () => {
  const enroll = (out: string, more: readonly string[] = []) =>
    runCli(['recipients', 'enroll', '--out', out, '--name', 'line 4', ...more], { env })

  test('writes the file with mode 0600 and says that the root was trusted on first use', async () => {
    stub.answerWith(stub.enrolment())
    const out = path.join(folder, 'new.json')
    const transcript = await enroll(out)
    assert.equal(transcript.code, 0)
    assert.match(transcript.out, /^rcp_\w{26}$/)
    assert.match(transcript.err, new RegExp(`^warning: the root was trusted on first use: ${stub.deployment.root}\n`))
    assert.equal((await stat(out)).mode & 0o777, 0o600)
    const recipient = parseRecipient(await readFile(out, 'utf8'))
    assert.deepEqual([recipient.recipientId, recipient.root], [transcript.out, stub.deployment.root])
  })

  test('with the fingerprint it says nothing about trust; with another one it exits 1 and leaves no file', async () => {
    stub.answerWith(stub.enrolment())
    const pinned = await enroll(path.join(folder, 'pinned.json'), ['--root-fingerprint', stub.deployment.root])
    assert.deepEqual([pinned.code, /trusted/.test(pinned.err)], [0, false])

    const out = path.join(folder, 'wrong-root.json')
    const wrong = await enroll(out, ['--root-fingerprint', 'A'.repeat(64)])
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /envelope\.issuer_unknown/)
    await assert.rejects(stat(out), { code: 'ENOENT' })
  })

  test('a file that exists is not overwritten, and nothing is sent', async () => {
    const before = await readFile(recipientFile, 'utf8')
    const { code, err } = await enroll(recipientFile)
    assert.deepEqual([code, stub.seen.length], [2, 0])
    assert.match(err, /exists and is not overwritten/)
    assert.equal(await readFile(recipientFile, 'utf8'), before)
  })

  test('--out is required', async () => {
    assert.equal((await runCli(['recipients', 'enroll'], { env })).code, 2)
  })
})

describe('a recipient file', () => {
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    test(`of mode ${mode.toString(8)} is refused with the command that helps; of mode 0600 it is read`, async () => {
      await chmod(recipientFile, mode)
      const { code, err } = await publish(['-m', 'x'])
      await chmod(recipientFile, 0o600)
      assert.equal(code, 2)
      assert.match(err, new RegExp(`hint: chmod 600 ${recipientFile}`))
      assert.equal((await publish(['-m', 'x'])).code, 0)
    })
  }
})

describe('envelope open', () => {
  const someRequest = { method: 'POST', url: '/api/v2/proxy/outbound', headers: {}, body: new Uint8Array() }
  const open = (text: string, more: readonly string[] = []) =>
    runCli(['envelope', 'open', '-', ...more], { env: { SEALWIRE_RECIPIENT: recipientFile }, stdin: utf8(text) })

  test('opens an envelope without an API key, prints the answer, and says what was verified', async () => {
    const { code, out, err } = await open(JSON.stringify(await stub.seal(someRequest, success(PUBLISHED))))
    assert.deepEqual([code, JSON.parse(out)], [0, { success: true, data: PUBLISHED }])
    assert.match(err, /^verified: ML-DSA-65 and HMAC-SHA-512; proxy\.outbound, status 200, req_\w+, made 20/)
  })

  test('takes a whole answer, the output of publish --json, and a file', async () => {
    const whole = await stub.sealed(someRequest, success(PUBLISHED))
    assert.equal((await open(JSON.stringify(whole.body))).code, 0)
    const { out: printed } = await publish(['-m', 'x', '--json'])
    assert.equal((await open(printed)).code, 0)
    const file = path.join(folder, 'answer.json')
    await writeFile(file, printed)
    const { code, out } = await runCli(['envelope', 'open', file, '--recipient', recipientFile, '--json'])
    assert.deepEqual([code, (JSON.parse(out) as { header: { op: string } }).header.op], [0, 'proxy.outbound'])
  })

  const refused: { what: string; text: () => Promise<string> | string; code: number; err: RegExp }[] = [
    {
      what: 'an old one',
      text: async () => {
        const iat = Math.floor(Date.now() / 1000) - 400
        return JSON.stringify(await stub.seal(someRequest, success({}), { claims: { iat } }))
      },
      code: 1,
      err: /envelope\.stale[\s\S]*hint: answers open for 300 s/,
    },
    { what: 'something else', text: () => '{"hello": 1}', code: 1, err: /envelope\.rejected/ },
    { what: 'no JSON', text: () => 'hello', code: 2, err: /not JSON[\s\S]*hint: pass the answer/ },
  ]
  for (const { what, text, code, err } of refused) {
    test(`${what} exits ${code} and prints nothing`, async () => {
      const transcript = await open(await text())
      assert.deepEqual([transcript.code, transcript.out], [code, ''])
      assert.match(transcript.err, err)
    })
  }

  test('a file that is not there is misuse', async () => {
    const { code } = await runCli(['envelope', 'open', '/nowhere', '--recipient', recipientFile])
    assert.equal(code, 2)
  })
})
