import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { runCli } from '#test/support/cli.ts'

const folder = await mkdtemp(path.join(tmpdir(), 'sealwire-acl-'))
after(() => rm(folder, { recursive: true }))

/** Writes a file and returns its path; JSON where it is no text. */
async function file(name: string, content: unknown): Promise<string> {
  const place = path.join(folder, name)
  await writeFile(place, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  return place
}

const acl = (...args: string[]) => runCli(['acl', ...args])

const policy = {
  schema: 'mqtt-policy/1',
  id: 'plant',
  rules: [
    {
      id: 'own',
      effect: 'allow',
      actions: ['publish', 'subscribe', 'receive'],
      topics: ['s/${clientId}/#'],
      retain: 'forbid',
    },
    { id: 'secret', effect: 'deny', actions: ['subscribe'], topics: ['s/+/secret'] },
  ],
  tests: [
    { name: 'own topic', as: { clientId: 'd1' }, do: 'publish', topic: 's/d1/t', expect: 'allow' },
    {
      as: { clientId: 'd1' },
      do: 'subscribe',
      topic: 's/d1/#',
      expect: { decision: 'deny', reason: 'deny-overlap', rule: 'secret' },
    },
  ],
}
const good = await file('policy.json', policy)
const invalid = await file(
  'invalid.json',
  '{\n  "schema": "mqtt-policy/1", "id": "x",\n  "rules": [\n    {"id": "a", "effect": "allow", "topics": ["a", {"regex": "(a"}], "efect": 1},\n    {"id": "a", "effect": "maybe", "topics": ["a/#/b"], "odd key": 2}\n  ]\n}\n',
)
const failing = await file('failing.json', {
  ...policy,
  tests: [...policy.tests, { name: 'wrong', as: {}, do: 'publish', topic: 'x', expect: 'allow' }],
})
const doubtful = await file(
  'doubtful.json',
  '{"schema": "mqtt-policy/1", "id": "x", "rules": [\n  {"id": "all", "effect": "allow", "topics": ["#"]}]}',
)

describe('acl validate', () => {
  test('a valid policy exits 0 and counts what is in it', async () => {
    assert.deepEqual(await acl('validate', good), { code: 0, out: 'valid: 2 rules, 2 tests, 0 warnings', err: '' })
  })

  test('every problem is told with its place, and exits 1', async () => {
    const { code, out, err } = await acl('validate', invalid)
    assert.deepEqual([code, out], [1, 'not valid: 6 problems'])
    const lines = err.split('\n')
    assert.equal(lines.length, 6)
    assert.ok(lines.includes(`error: ${invalid}:4:79: rules[0].efect: unknown member; did you mean effect?`), err)
    assert.match(
      err,
      new RegExp(`error: ${invalid}:4:62: rules\\[0\\]\\.topics\\[1\\]\\.regex: the group is not closed`),
    )
    assert.match(err, /:5:68: rules\[1\]\["odd key"\]: unknown member/)
    assert.match(err, /:5:12: rules\[1\]\.id: "a" is the id of rules\[0\] too/)
  })

  test('warnings are told, and exit 0', async () => {
    const { code, out, err } = await acl('validate', doubtful)
    assert.deepEqual([code, out], [0, 'valid: 1 rule, 0 tests, 3 warnings'])
    assert.match(
      err,
      new RegExp(`^warning: ${doubtful}:2:3: rules\\[0\\]: allows publish as well.*\\[implicit-actions\\]`),
    )
    assert.match(err, /:2:47: rules\[0\]\.topics\[0\]: allows every topic.*\[allow-everything\]/)
  })

  test('a test that fails makes a policy invalid', async () => {
    const { code, out, err } = await acl('validate', failing)
    assert.deepEqual([code, out], [1, 'not valid: 1 problem; 2 rules, 3 tests, 1 of them failed, 0 warnings'])
    assert.match(err, /:\d+:5: tests\[2\]: "wrong" expected allow; got deny {2}reason=default$/)
  })

  test('--json says all of it for programs', async () => {
    const verdict = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { code, out, err } = await acl('validate', '--json', ...args)
      assert.equal(err, '')
      return { code, ...(JSON.parse(out) as object) }
    }
    assert.deepEqual(await verdict(good), {
      code: 0,
      valid: true,
      problems: [],
      warnings: [],
      rules: 2,
      tests: { run: 2, failed: 0 },
    })
    const wrong = await verdict(invalid)
    assert.deepEqual([wrong['code'], wrong['valid'], wrong['rules']], [1, false, null])
    assert.deepEqual((wrong['problems'] as unknown[])[0], {
      path: 'rules[0].efect',
      message: 'unknown member; did you mean effect?',
      line: 4,
      column: 79,
    })
    const [warning] = (await verdict(doubtful))['warnings'] as Record<string, unknown>[]
    assert.deepEqual([warning?.['code'], warning?.['path'], warning?.['line']], ['implicit-actions', 'rules[0]', 2])
    const noJson = await verdict(await file('none.json', '{"a": x}'))
    assert.deepEqual((noJson['problems'] as { column: number }[])[0]?.column, 7)
  })

  test('what is no JSON is told where it stops being JSON', async () => {
    const { code, err } = await acl(
      'validate',
      await file('broken.json', '{"schema": "mqtt-policy/1",\n "rules": [x]}'),
    )
    assert.equal(code, 1)
    assert.match(err, /broken\.json:2:12: not JSON: expected a value/)
  })

  test('standard input is read for -', async () => {
    const { code, out } = await runCli(['acl', 'validate', '-'], { stdin: utf8(JSON.stringify(policy)) })
    assert.deepEqual([code, out], [0, 'valid: 2 rules, 2 tests, 0 warnings'])
  })

  test('what cannot be read exits 2', async () => {
    const missing = await acl('validate', path.join(folder, 'missing.json'))
    assert.equal(missing.code, 2)
    assert.match(missing.err, /missing\.json: no such file/)
    assert.match((await acl('validate', folder)).err, /is a folder/)
    const latin = path.join(folder, 'latin.json')
    await writeFile(latin, Buffer.from([0x22, 0xff, 0x22]))
    const { code, err } = await acl('validate', latin)
    assert.deepEqual([code, err], [2, `error: ${latin}: is not UTF-8.`])
  })

  test('a byte order mark is no problem', async () => {
    assert.equal((await acl('validate', await file('bom.json', `\ufeff${JSON.stringify(policy)}`))).code, 0)
  })

  test('names of a file are printed without control characters', async () => {
    const { err } = await acl('validate', await file('esc.json', '{"\\u001b[31mred": 1}'))
    assert.ok(!err.includes('\u001b'), err)
  })
})

describe('acl lint', () => {
  test('prints a line for each warning and exits 0', async () => {
    const { code, out, err } = await acl('lint', doubtful)
    assert.deepEqual([code, out.split('\n').length, err], [0, 3, ''])
    assert.deepEqual(await acl('lint', good), { code: 0, out: '', err: 'no warnings' })
  })

  test('is told what authentication brings and whether deliveries are checked', async () => {
    const filtered = await file('filtered.json', { ...policy, options: { subscribe: 'filtered' }, tests: [] })
    assert.match((await acl('lint', filtered, '--no-delivery')).out, /options\.subscribe: .*\[unfiltered-surface\]/)
    assert.equal((await acl('lint', filtered)).out, '')
    const claims = await file('claims.json', {
      ...policy,
      tests: [],
      rules: [{ id: 'r', effect: 'allow', actions: ['subscribe'], topics: ['a/${claims.x}/${username}'] }],
    })
    const { out } = await acl('lint', claims, '--provides', 'username', 'claims.y')
    assert.match(out, /no provider brings claims\.x/)
    assert.equal((await acl('lint', claims, '--provides', 'username', 'claims')).out, '')
  })

  test('--json prints a list', async () => {
    const warnings = JSON.parse((await acl('lint', doubtful, '--json')).out) as { code: string; line: number }[]
    assert.deepEqual(
      warnings.map(({ code, line }) => [code, line]),
      [
        ['implicit-actions', 2],
        ['allow-everything', 2],
        ['retain-on-wildcard', 2],
      ],
    )
  })

  test('what is not valid is not looked through', async () => {
    const { code, out, err } = await acl('lint', invalid)
    assert.deepEqual([code, out, err.split('\n').length], [1, '', 6])
  })
})

describe('acl simulate: one request', () => {
  const ask = (...args: string[]) => acl('simulate', good, '--as', '{"clientId": "d1"}', ...args)

  test('says what is decided, by which rule, and what that rule matched', async () => {
    assert.deepEqual(await ask('--do', 'publish', '--topic', 's/d1/t', '--qos', '1'), {
      code: 0,
      out: 'allow  reason=rule  rule=own  qos=1  retain=false\n* allow own (priority 0): matched s/d1/#',
      err: '',
    })
  })

  test('a deny exits 0 too, and shows a topic that the deny is about', async () => {
    const { code, out } = await ask('--do', 'subscribe', '--topic', 's/d1/#')
    assert.equal(code, 0)
    assert.match(out, /^deny {2}reason=deny-overlap {2}rule=secret\n/)
    assert.match(out, /\* deny secret \(priority 0\): matched s\/\+\/secret, for example s\/d1\/secret/)
  })

  test('--trace says of every rule what became of it; a hint says so where none applies', async () => {
    const without = await ask('--do', 'publish', '--topic', 'elsewhere')
    assert.deepEqual(without, {
      code: 0,
      out: 'deny  reason=default',
      err: 'hint: no rule is about this request; --trace says of each why it was passed over',
    })
    const { out, err } = await ask('--do', 'publish', '--topic', 'elsewhere', '--trace')
    assert.match(out, /\n- allow own \(priority 0\): topic s\/d1\/#\n- deny secret \(priority 0\): action$/)
    assert.equal(err, '')
  })

  test('retain, delivery, connect and the file of an identity are taken into account', async () => {
    assert.match((await ask('--do', 'publish', '--topic', 's/d1/t', '--retain')).out, /^deny {2}reason=default/)
    const identity = await file('id.json', { clientId: 'd2' })
    const own = await acl('simulate', '--policy', good, '--as', identity, '--do', 'receive', '--topic', 's/d2/x')
    assert.match(own.out, /^allow {2}reason=rule {2}rule=own\n/)
    assert.match((await acl('simulate', good, '--as', identity, '--do', 'connect')).out, /^allow {2}reason=default$/)
    const filtered = await file('f.json', { ...policy, options: { subscribe: 'filtered' }, tests: [] })
    const subscribe = ['simulate', filtered, '--as', identity, '--do', 'subscribe', '--topic', 's/d2/#']
    assert.match((await acl(...subscribe)).out, /^allow {2}reason=filtered/)
    assert.match((await acl(...subscribe, '--no-delivery')).out, /^deny {2}reason=deny-overlap/)
  })

  test('--json prints the decision, with --trace every step', async () => {
    const plain = JSON.parse((await ask('--do', 'publish', '--topic', 's/d1/t', '--json')).out) as object
    assert.deepEqual(plain, { decision: 'allow', reason: 'rule', rule: 'own', qos: 0, retain: false })
    const traced = JSON.parse((await ask('--do', 'publish', '--topic', 's/d1/t', '--json', '--trace')).out) as object
    assert.equal((traced as { trace: unknown[] }).trace.length, 2)
  })

  const misuses: readonly [why: string, args: string[], says: RegExp][] = [
    ['no policy', ['--do', 'connect', '--as', '{}'], /Which policy\?/],
    ['two policies', [good, '--policy', good, '--do', 'connect', '--as', '{}'], /Name the policy once/],
    ['no identity', [good, '--do', 'connect'], /Who asks\?/],
    ['no action', [good, '--as', '{}'], /What is asked\?/],
    ['no topic', [good, '--as', '{}', '--do', 'publish'], /Which topic\?/],
    ['an action that is none', [good, '--as', '{}', '--do', 'fly', '--topic', 'a'], /Allowed choices are publish/],
    ['a QoS that is none', [good, '--as', '{}', '--do', 'publish', '--topic', 'a', '--qos', '3'], /from 0 to 2/],
    ['standard input twice', ['-', '--as', '-', '--do', 'connect'], /Only one file can be standard input/],
    ['a mixture', ['--policy', good, '--requests', 'x', '--topic', 'a'], /--requests and --topic do not go together/],
    ['--json with lines', ['--policy', good, '--requests', 'x', '--json'], /--requests and --json/],
  ]
  for (const [why, args, says] of misuses) {
    test(`${why} is misuse`, async () => {
      const { code, out, err } = await acl('simulate', ...args)
      assert.deepEqual([code, out], [2, ''])
      assert.match(err, says)
    })
  }

  test('an identity that is none is told with its place', async () => {
    const { code, err } = await acl('simulate', good, '--as', '{"clientid": "x"}', '--do', 'connect')
    assert.deepEqual([code, err], [1, 'error: --as:1:14: clientid: unknown member; did you mean clientId?'])
    assert.match(
      (await acl('simulate', good, '--as', '{"a" 1}', '--do', 'connect')).err,
      /--as:1:6: not JSON: expected :/,
    )
    const list = await file('list.json', [])
    assert.match(
      (await acl('simulate', good, '--as', list, '--do', 'connect')).err,
      /list\.json:1:1: must be an object/,
    )
  })
})

describe('acl test', () => {
  test('runs the tests of a policy', async () => {
    const { code, out, err } = await acl('test', good)
    assert.deepEqual([code, err], [0, ''])
    assert.equal(out, 'passed "own topic"\npassed "tests[1]"\n2 passed, 0 failed')
    assert.equal((await acl('test', good, '--quiet')).out, '2 passed, 0 failed')
  })

  test('a test that fails exits 1 and is told with its place', async () => {
    const { code, out, err } = await acl('test', failing, '--quiet')
    assert.deepEqual([code, out], [1, '2 passed, 1 failed'])
    assert.match(err, /failing\.json:\d+:5: tests\[2\]: "wrong" expected allow; got deny {2}reason=default/)
  })

  test('runs those of other files too: lists, or objects with a list', async () => {
    const list = await file('batch.json', [
      { as: { clientId: 'a' }, do: 'receive', topic: 's/a', expect: 'allow' },
      { name: 'bad', as: {}, do: 'subscribe', topic: '#', expect: { decision: 'deny', reason: 'rule' } },
    ])
    const object = await file('batch2.json', { tests: [{ as: {}, do: 'connect', expect: 'allow' }] })
    const { code, out, err } = await acl('test', good, '--quiet', '--tests', list, object)
    assert.deepEqual([code, out], [1, '4 passed, 1 failed'])
    assert.match(
      err,
      /batch\.json:\d+:3: \[1\]: "bad" expected deny {2}reason=rule; got deny {2}reason=deny-overlap {2}rule=secret$/,
    )
  })

  test('a file of tests that is none is told with its place', async () => {
    const list = await file('no-batch.json', '[{"as": {}, "do": "publish", "expect": "alow"}]')
    const { code, err } = await acl('test', good, '--tests', list)
    assert.equal(code, 1)
    assert.match(err, /no-batch\.json:1:40: \[0\]\.expect: must be "allow" or "deny"/)
    assert.match(
      (await acl('test', good, '--tests', await file('n.json', '{}'))).err,
      /n\.json:1:1: must be a list of tests/,
    )
  })

  test('no test at all exits 1', async () => {
    const { code, out, err } = await acl('test', doubtful)
    assert.deepEqual([code, out], [1, '0 passed, 0 failed'])
    assert.match(err, /error: there is no test in .*\nhint: add "tests"/)
  })
})
