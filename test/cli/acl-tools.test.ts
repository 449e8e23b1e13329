import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { utf8 } from '#src/core/bytes.ts'
import { importDialects } from '#src/policy/importers/import-policy.ts'
import { presetNames } from '#src/policy/presets/preset.ts'
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

describe('acl diff', () => {
  const changed = { ...policy, rules: policy.rules.slice(0, 1), tests: [] }

  test('tells which decisions differ, looser and stricter, and exits 0', async () => {
    const { code, out, err } = await acl('diff', good, await file('changed.json', changed))
    assert.equal(code, 0)
    assert.match(out, /^looser: \d+\n/)
    const denied = 'deny {2}reason=deny-overlap {2}rule=secret'
    assert.match(
      out,
      new RegExp(`as in test "own topic": subscribe "s/d1/#" qos 0\n {4}${denied} {2}-> {2}allow {2}reason=rule`),
    )
    assert.doesNotMatch(out, /stricter/)
    assert.match(err, /^compared: \d+ requests; identities: \d+$/)
  })

  test('nothing differs between a policy and itself in other words', async () => {
    const same = await file(
      'same.json',
      JSON.stringify({ ...policy, rules: policy.rules.toReversed(), description: 'x' }),
    )
    assert.equal((await acl('diff', good, same)).out, 'no decision differs')
  })

  test('--identities are asked about by the names of their files', async () => {
    const place = path.join(folder, 'identities')
    await mkdir(place, { recursive: true })
    await writeFile(path.join(place, 'line 4.json'), '{"clientId": "line-4"}')
    await writeFile(path.join(place, 'readme.txt'), 'not an identity')
    const { out } = await acl('diff', good, await file('blank.json', { ...changed, rules: [] }), '--identities', place)
    assert.match(out, /stricter: \d+\n {2}line 4: publish "s\/line-4" qos 1\n/)
    const { code, err } = await acl('diff', good, good, '--identities', path.join(folder, 'no'))
    assert.equal(code, 2)
    assert.match(err, /no such folder/)
    await writeFile(path.join(place, 'z.json'), '{"cn": "x"}')
    const wrong = await acl('diff', good, good, '--identities', place)
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /z\.json:1:8: cn: unknown member/)
    const empty = path.join(folder, 'empty')
    await mkdir(empty)
    assert.match((await acl('diff', good, good, '--identities', empty)).err, /has no \.json file/)
  })

  test('--json prints the whole of it', async () => {
    const diff = JSON.parse((await acl('diff', good, await file('c2.json', changed), '--json')).out) as {
      looser: { total: number; changes: { who: string; before: { rule: string } }[] }
      isComplete: boolean
    }
    assert.ok(diff.looser.total > 0 && diff.isComplete)
    assert.equal(diff.looser.changes[0]?.before.rule, 'secret')
  })

  test('a policy that is not valid is told, and standard input is read once', async () => {
    assert.equal((await acl('diff', good, await file('invalid.json', { rules: [] }))).code, 1)
    assert.equal((await acl('diff', '-', '-')).code, 2)
  })
})

describe('acl import', () => {
  const sentinel = {
    acl: { rules: [{ name: 'r1', decision: 'allow', topics: ['a/#'], actions: ['publish'], 'max-qos': 1 }] },
  }

  test('prints the policy, and tells on standard error what means something else', async () => {
    const source = await file('gateway.json', { ...sentinel, inspection: {} })
    const { code, out, err } = await acl('import', '--from', 'sentinel', source)
    assert.equal(code, 0, err)
    const document = JSON.parse(out) as { rules: { id: string }[] }
    assert.equal(document.rules[0]?.id, 'r1')
    assert.match(err, /rules?; \d+ notes? on what means something else here$/)
    const { code: valid } = await runCli(['acl', 'validate', '-'], { stdin: utf8(out) })
    assert.equal(valid, 0)
  })

  test('--out writes a new file, and never over one that is there', async () => {
    const source = await file('gateway2.json', sentinel)
    const target = path.join(folder, 'imported.json')
    const args = ['import', '--from', 'sentinel', source, '--out', target, '--id', 'mine']
    const { code, out, err } = await acl(...args)
    assert.deepEqual([code, out], [0, ''])
    assert.match(err, /hint: sealwire acl validate .*imported\.json/)
    assert.equal((JSON.parse(await readFile(target, 'utf8')) as { id: string }).id, 'mine')
    const again = await acl(...args)
    assert.equal(again.code, 2)
    assert.match(again.err, /exists and is not overwritten/)
  })

  test('what cannot be translated is told with its place in the source, and nothing is written', async () => {
    const rule = '{"topic": "x/{nope}", "action": "publish", "effect": "allow"}'
    const source = await file('acl.json', `{"version": "2.0", "default_action": "deny", "rules": [\n${rule}]}`)
    const { code, out, err } = await acl('import', '--from', 'cloudsignal', source)
    assert.deepEqual([code, out], [1, ''])
    assert.match(err, new RegExp(`^error: ${source}:2:\\d+: rules\\[0\\]`))
  })

  test('options of a dialect reach it, and notes name their kind and place', async () => {
    const rules = [
      { topic: '/a/b', action: 'publish', effect: 'deny' },
      { topic: '/a/#', action: 'publish', effect: 'allow' },
    ]
    const source = await file('cs.json', { version: '2.0', default_action: 'deny', rules })
    const plain = await acl('import', '--from', 'cloudsignal', source)
    assert.match(
      plain.err,
      new RegExp(`ambiguous: ${source}:6:16: rules\\[0\\]\\.topic: the slash at the front is kept`),
    )
    assert.match(plain.err, /ambiguous: .*: rules: the order of rules is not documented/)
    const chosen = await acl('import', '--from', 'cloudsignal', source, '--strip-leading-slash', '--ordered')
    assert.doesNotMatch(chosen.err, /ambiguous/)
    const document = JSON.parse(chosen.out) as { rules: { topics: string[]; priority: number }[] }
    assert.deepEqual(
      document.rules.map(({ topics, priority }) => [topics[0], priority]),
      [
        ['a/b', 2],
        ['a/#', 1],
      ],
    )
  })

  test('a source that is broken JSON is told where', async () => {
    const { code, err } = await acl('import', '--from', 'sentinel', await file('b.json', '{"acl": {\n"rules": [}}'))
    assert.equal(code, 1)
    assert.match(err, /b\.json:2:11: not JSON: expected a value/)
  })

  test('a dialect that is not known, or none, is misuse', async () => {
    assert.match((await acl('import', '--from', 'nope', good)).err, new RegExp(importDialects.join(', ')))
    assert.equal((await acl('import', good)).code, 2)
  })
})

describe('acl preset', () => {
  test('without a name it lists them', async () => {
    const { code, out } = await acl('preset')
    assert.equal(code, 0)
    assert.deepEqual(
      out.split('\n').map((line) => line.split(' ')[0]),
      presetNames,
    )
  })

  for (const name of presetNames) {
    test(`${name} is valid, and its tests pass under another namespace too`, async () => {
      for (const more of [[], ['--ns', 'acme/site-1']]) {
        const { code, out } = await acl('preset', name, ...more)
        assert.equal(code, 0)
        const verdict = await runCli(['acl', 'validate', '-'], { stdin: utf8(out) })
        assert.equal(verdict.code, 0, verdict.err)
        assert.match(verdict.out, /^valid: \d+ rules?, [1-9]\d* tests?,/)
      }
    })
  }

  test('a name that is none and a namespace that is none are misuse', async () => {
    const { code, err } = await acl('preset', 'chatt')
    assert.deepEqual([code, /hint: there are .*chat,/.test(err)], [2, true])
    assert.match((await acl('preset', 'chat', '--ns', 'a/#')).err, /--ns: The namespace/)
  })
})

describe('help', () => {
  for (const name of ['validate', 'lint', 'simulate', 'test', 'diff', 'import', 'preset', 'get', 'create', 'update']) {
    test(`sealwire acl ${name} --help teaches with an example and exits 0`, async () => {
      const { code, out, err } = await acl(name, '--help')
      assert.deepEqual([code, err], [0, ''])
      assert.match(out, new RegExp(`Examples?:\\n[^]*\\$ .*sealwire acl ${name}`))
    })
  }

  test('acl itself shows the way from nothing to a policy that decides; an unknown command is misuse', async () => {
    assert.match((await acl('--help')).out, /acl preset device-twin > policy\.json/)
    const { code, err } = await acl('validat')
    assert.equal(code, 2)
    assert.match(err, /Did you mean validate/)
  })
})
