import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { byteLines } from '#src/cli/byte-lines.ts'
import { run } from '#src/cli/program.ts'
import { utf8 } from '#src/core/bytes.ts'
import type { AccessAction, AccessRequest } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { decide } from '#src/policy/decide.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { runCli } from '#test/support/cli.ts'
import { patience } from '#test/support/patience.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-acl-stream-'))
after(() => rm(folder, { recursive: true }))

const document = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  options: { subscribe: 'filtered' },
  rules: [
    { id: 'own', effect: 'allow', topics: ['s/${clientId}/#'], maxQos: 1, qosMode: 'cap', retain: 'strip' },
    { id: 'fleet', effect: 'allow', when: { groups: ['fleet'] }, topics: ['fleet/+/x', { regex: 'v[0-9]+/.*' }] },
    { id: 'secret', effect: 'deny', topics: ['s/+/secret'], when: { username: 'guest' } },
  ],
}
const policyFile = path.join(folder, 'policy.json')
await writeFile(policyFile, JSON.stringify(document))
const { policy } = parsePolicy(document)
assert.ok(policy)
const compiled = compilePolicy(policy)

interface Question {
  identity: Identity
  request: AccessRequest
}

const actions = ['publish', 'will', 'subscribe', 'receive', 'connect', 'unsubscribe', 'superuser'] as AccessAction[]
const topics = [
  's/own/t',
  's/d2/#',
  's/+/secret',
  'fleet/a/x',
  'v12/z',
  '$SYS/x',
  'a//b',
  '',
  'a/#/b',
  '\u0000',
  '$share/g/s/own/t',
  '#',
  '\ud800',
]

function question(i: number): Question {
  const identity: Identity = {
    clientId: `d${i % 701}`, // more than the sessions that are kept
    ...(i % 3 === 0 && { groups: ['fleet'] }),
    ...(i % 11 === 0 && { username: 'guest' }),
  }
  const topic = (topics[i % topics.length] as string).replace('own', `d${i % 701}`)
  return {
    identity,
    request: {
      action: actions[i % actions.length] as AccessAction,
      topic,
      qos: (Math.floor(i / 7) % 3) as 0 | 1 | 2,
      retain: Math.floor(i / 5) % 2 === 0,
    },
  }
}

function answerOf({ identity, request }: Question): string {
  const { decision, reason, rule, qos, retain } = decide(compiled, identity, request)
  return JSON.stringify({ decision, reason, rule, qos, retain })
}

const simulate = (requests: string, stdin?: Uint8Array, ...more: string[]) =>
  runCli(['acl', 'simulate', '--policy', policyFile, '--requests', requests, ...more], stdin ? { stdin } : {})

describe('acl simulate --requests', () => {
  test('100,000 lines are decided as the engine decides each by itself, in their order', async () => {
    const questions = Array.from({ length: 100_000 }, (_, i) => question(i))
    const file = path.join(folder, 'requests.jsonl')
    await writeFile(file, questions.map((one) => `${JSON.stringify(one)}\n`).join(''))
    const { code, out, err } = await simulate(file)
    assert.deepEqual([code, err], [0, ''])
    const lines = out.split('\n')
    assert.equal(lines.length, questions.length)
    const wanted = questions.map(answerOf)
    assert.ok(new Set(wanted).size > 20, `only ${new Set(wanted).size} different answers`)
    for (const [i, line] of lines.entries()) if (line !== wanted[i]) assert.equal(line, wanted[i], `line ${i + 1}`)
  })

  test('absent members have their defaults; empty lines, \\r\\n and a missing last line end do not matter', async () => {
    const lines = [
      '{"identity":{},"request":{"action":"connect"}}\r\n\n',
      '{"request":{"action":"publish","topic":"s/d1/t"},"identity":{"clientId":"d1"}}',
    ]
    assert.deepEqual(await simulate('-', utf8(lines.join(''))), {
      code: 0,
      out: [
        '{"decision":"allow","reason":"default","rule":null,"qos":null,"retain":null}',
        '{"decision":"allow","reason":"rule","rule":"own","qos":0,"retain":false}',
      ].join('\n'),
      err: '',
    })
  })

  test('--no-delivery grants nothing as filtered', async () => {
    const line = utf8('{"identity":{"clientId":"d1"},"request":{"action":"subscribe","topic":"s/#"}}')
    assert.match((await simulate('-', line)).out, /"filtered"/)
    assert.match((await simulate('-', line, '--no-delivery')).out, /"decision":"deny","reason":"default"/)
  })

  const good = '{"identity":{},"request":{"action":"connect"}}\n'
  const bad: readonly [why: string, line: string | Uint8Array, says: RegExp][] = [
    ['no JSON', '{"identity":{},"request":x}', /^error: -:3: column 26: not JSON: expected a value/],
    ['no object', '[]', /-:3: must be an object, is a list/],
    ['no identity', '{"request":{"action":"connect"}}', /-:3: identity: required/],
    ['no request', '{"identity":{}}', /-:3: request: required/],
    [
      'an identity that is none',
      '{"identity":"d1","request":{"action":"connect"}}',
      /-:3: identity: must be an object/,
    ],
    [
      'a member that is not known',
      '{"identity":{"clientID":"x"},"request":{"action":"connect"}}',
      /identity\.clientID: unknown member; did you mean clientId\?/,
    ],
    ['no action', '{"identity":{},"request":{"topic":"a"}}', /request\.action: required/],
    [
      'an action that is no text',
      '{"identity":{},"request":{"action":1,"topic":"a"}}',
      /request\.action: must be text/,
    ],
    ['no topic', '{"identity":{},"request":{"action":"publish"}}', /request\.topic: required/],
    [
      'a topic that is no text',
      '{"identity":{},"request":{"action":"publish","topic":7}}',
      /request\.topic: must be text, is a number/,
    ],
    [
      'a QoS that is none',
      '{"identity":{},"request":{"action":"publish","topic":"a","qos":3}}',
      /request\.qos: must be a whole number from 0 to 2/,
    ],
    [
      'a flag that is none',
      '{"identity":{},"request":{"action":"publish","topic":"a","retain":1}}',
      /request\.retain: must be true or false/,
    ],
    [
      'a member twice',
      '{"identity":{},"identity":{},"request":{"action":"connect"}}',
      /-:3: member "identity" occurs twice/,
    ],
    ['nesting without end', `{"identity":${'['.repeat(100)}`, /-:3: nested deeper than 64/],
    ['a line without end', `"${'x'.repeat(1024 * 1024)}`, /-:3: the line is longer than 1048576 bytes/],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), /-:3: is not UTF-8/],
  ]
  for (const [why, line, says] of bad) {
    test(`${why}: the number of the line is told, and what came before is answered`, async () => {
      const bytes = typeof line === 'string' ? utf8(line) : line
      const { code, out, err } = await simulate(
        '-',
        new Uint8Array(Buffer.concat([utf8(good + good), bytes, utf8(`\n${good}`)])),
      )
      assert.deepEqual([code, out.split('\n').length], [2, 2])
      assert.match(err, says)
    })
  }

  test('a file that is missing, and a policy that is not valid', async () => {
    assert.equal((await simulate(path.join(folder, 'missing.jsonl'))).code, 2)
    const wrong = path.join(folder, 'wrong.json')
    await writeFile(wrong, '{}')
    const { code, err } = await runCli(['acl', 'simulate', '--policy', wrong, '--requests', '-'])
    assert.equal(code, 1)
    assert.match(err, /wrong\.json:1:1: schema: must be/)
  })

  test('whoever reads slowly is waited for: no more is read than can be written', async () => {
    let [read, written, room] = [0, 0, Promise.withResolvers<void>()]
    const full = Promise.withResolvers<void>()
    const line = utf8(`${JSON.stringify(question(1))}\n`.repeat(1_000))
    const io = {
      out: (text: string) => {
        written += text.length
      },
      drained: () => {
        full.resolve()
        return room.promise
      },
      err: assert.fail,
      stdin: () => assert.fail(),
      async *stdinChunks() {
        for (; read < 100; read++) yield line
      },
      env: {},
      signal: new AbortController().signal,
    }
    const done = run(['acl', 'simulate', '--policy', policyFile, '--requests', '-'], io, assert.fail)
    await full.promise
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(read < 5 && written < 200_000, `${read} pieces were read, ${written} characters written`)
    room.resolve()
    assert.equal(await done, 0)
    assert.equal(read, 100)
    assert.ok(written > 5_000_000)
  })

  test('an interrupt ends it', async () => {
    const interrupt = new AbortController()
    const io = {
      out: () => interrupt.abort(),
      drained: async () => {},
      err: () => {},
      stdin: () => assert.fail(),
      async *stdinChunks() {
        for (;;) yield utf8(`${JSON.stringify(question(1))}\n`.repeat(1_000))
      },
      env: {},
      signal: interrupt.signal,
    }
    assert.equal(await run(['acl', 'simulate', '--policy', policyFile, '--requests', '-'], io, assert.fail), 1)
  })
})

describe('the program itself', () => {
  const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts')
  const start = (...args: string[]) =>
    spawn(process.execPath, ['--max-old-space-size=48', main, 'acl', ...args], { stdio: ['pipe', 'pipe', 'pipe'] })

  test('takes 300,000 lines from a pipe in bounded memory, and ends quietly when its reader goes', async () => {
    const child = start('simulate', '--policy', policyFile, '--requests', '-')
    const lines = `${JSON.stringify(question(3))}\n`.repeat(1_000)
    let received = 0
    child.stdout.on('data', (data: Buffer) => (received += data.length))
    for (let i = 0; i < 300; i++) if (!child.stdin.write(lines)) await once(child.stdin, 'drain')
    child.stdin.end()
    const [code] = (await once(child, 'close')) as [number]
    assert.equal(code, 0)
    assert.equal(received, 300_000 * (answerOf(question(3)).length + 1))

    const left = start('simulate', '--policy', policyFile, '--requests', '-')
    let complaints = ''
    left.stderr.on('data', (data: Buffer) => (complaints += data.toString()))
    left.stdin.on('error', () => {}) // it may go before everything is written
    left.stdout.once('data', () => left.stdout.destroy())
    for (let i = 0; i < 300 && left.exitCode === null; i++) {
      if (left.stdin.write(lines)) continue
      await Promise.race([new Promise((resolve) => left.stdin.once('drain', resolve)), once(left, 'exit')])
    }
    left.stdin.end()
    if (left.exitCode === null) await once(left, 'exit')
    assert.deepEqual([left.exitCode, complaints], [0, ''])
  })
})

test('byteLines cuts a stream anywhere into the same lines', async () => {
  const text = 'a\n\nbcd\r\n\u{1f600}\nlast'
  const bytes = utf8(text)
  for (let size = 1; size <= bytes.length; size++) {
    async function* pieces() {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
    }
    const lines: string[] = []
    for await (const some of byteLines(pieces(), 'x', 100))
      lines.push(...some.map((one) => Buffer.from(one).toString()))
    assert.deepEqual(lines, text.split('\n'))
  }
})

describe('hostile files give a clear error, in bounded time', () => {
  const rules = (count: number, rule: (i: number) => object) =>
    JSON.stringify({
      schema: 'mqtt-policy/1',
      id: 'x',
      rules: Array.from({ length: count }, (_, i) => ({ id: `r${i}`, effect: 'allow', ...rule(i) })),
    })
  const cases: readonly [why: string, text: () => string, code: number, says: RegExp][] = [
    ['10 MB of open brackets', () => '['.repeat(10_000_000), 1, /nested deeper than 64/],
    ['10 MB of balanced brackets', () => '['.repeat(5_000_000) + ']'.repeat(5_000_000), 1, /nested deeper than 64/],
    [
      'a string of 10 MB that does not end',
      () => `{"id":"${'a'.repeat(10_000_000)}`,
      1,
      /:1:10000008: not JSON: .*a string is not closed/,
    ],
    ['a number of 10 MB', () => `{"id":${'9'.repeat(10_000_000)}}`, 1, /:1:7: id: must be text/],
    ['16 million line ends', () => `${'\n'.repeat(16_000_000)}x`, 1, /:16000001:1: not JSON/],
    [
      '__proto__',
      () => '{"schema":"mqtt-policy/1","id":"x","rules":[],"__proto__":{"rules":[{}]}}',
      1,
      /:1:59: __proto__: unknown member/,
    ],
    [
      'constructor in a condition',
      () => rules(1, () => ({ topics: ['a'], when: { constructor: 'x' } })),
      1,
      /no identity has "constructor"/,
    ],
    ['a member twice', () => '{"id":"x","rules":[],"\\u0069d":"y"}', 1, /member "id" occurs twice/],
    [
      'nested repetitions',
      () => rules(1, () => ({ topics: [{ regex: '(((a{200}){200}){200})' }] })),
      1,
      /topics\[0\]\.regex: repetitions inside repetitions/,
    ],
    [
      'patterns that make others back-track',
      () => rules(1_500, () => ({ topics: [{ regex: `${'(a|b|ab)*'.repeat(10)}(x+x+)+y` }] })),
      0,
      /implicit-actions/,
    ],
    [
      '90,000 rules with a fault at the end',
      () => rules(90_000, (i) => ({ topics: [i < 89_999 ? 'a' : 'a/#/b'] })),
      1,
      /rules\[89999\]\.topics\[0\]: # must be the last level/,
    ],
    ['more than 16 MiB', () => ' '.repeat(16 * 1024 * 1024 + 1), 2, /is longer than 16 MiB/],
  ]
  for (const [why, text, code, says] of cases) {
    test(why, async () => {
      const file = path.join(folder, 'hostile.json')
      await writeFile(file, text())
      const start = process.cpuUsage().user
      const transcript = await runCli(['acl', 'validate', file])
      const ms = (process.cpuUsage().user - start) / 1000
      assert.equal(transcript.code, code, transcript.err.slice(0, 1_000))
      assert.match(transcript.err, says)
      assert.ok(transcript.err.length < 100_000, 'a long message')
      assert.ok(ms < patience(15_000), `${ms} ms`)
    })
  }

  test('a file without an end is read up to the bound', async () => {
    await using zero = await open('/dev/zero', 'r')
    assert.ok((await zero.stat()).isCharacterDevice() && (await stat('/dev/zero')).size === 0)
    const { code, err } = await runCli(['acl', 'validate', '/dev/zero'])
    assert.deepEqual([code, err], [2, 'error: /dev/zero: is longer than 16 MiB.'])
  })
})
