import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessAction } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { describePreset, isPresetName, type PresetName, preset, presetNames } from '#src/policy/presets/preset.ts'
import { runTests } from '#src/policy/simulate.ts'
import { subjectsOf } from '../importers/imported.ts'

const wanted: readonly PresetName[] = [
  'permit-all',
  'notifications',
  'agents',
  'chat',
  'blank',
  'device-twin',
  'read-only-dashboard',
  'sparkplug',
]

/** Runs the tests that a document brings, and answers how many allow and how many deny. */
function runOwnTests(document: PolicyDocument): { allow: number; deny: number } {
  const { policy, problems } = parsePolicy(JSON.parse(JSON.stringify(document)))
  assert.ok(policy !== undefined, JSON.stringify(problems))
  const counts = { allow: 0, deny: 0 }
  for (const result of runTests(compilePolicy(policy))) {
    assert.ok(result.passed, JSON.stringify(result))
    counts[result.expected.decision]++
  }
  for (const { name } of document.tests ?? []) assert.ok(name !== undefined && name !== '', 'a test has a name')
  return counts
}

test('the presets are those of the manual, each with a sentence about it', () => {
  assert.deepEqual(presetNames, wanted)
  for (const name of presetNames) assert.match(describePreset(name), /^[A-Z].*\.$/)
  assert.ok(isPresetName('chat') && !isPresetName('constructor') && !isPresetName('__proto__'))
})

for (const name of wanted) {
  for (const namespace of [undefined, '', 'acme', 'acme/site 1', 'x${clientId}$${y}']) {
    test(`${name} in ${JSON.stringify(namespace)}: what its tests name holds`, () => {
      const document = preset(name, namespace === undefined ? {} : { namespace })
      assert.equal(document.id, name)
      const counts = runOwnTests(document)
      assert.ok(counts.allow >= 1 && counts.deny >= 1, JSON.stringify(counts))
    })
  }

  test(`${name}: every rule writes its actions, every rule decides one of its tests, and a missing identity opens nothing`, () => {
    const document = preset(name)
    const as = subjectsOf(document)
    const deciding = new Set(
      (document.tests ?? []).map(
        ({ as: identity, do: action, topic = '', qos = 0, retain = false }) =>
          as(identity).decide(action as AccessAction, topic, { qos, retain }).rule,
      ),
    )
    for (const { id, actions = [] } of document.rules) {
      assert.ok(actions.length > 0, `${id} names no actions`)
      assert.ok(deciding.has(id), `${id} decides none of the tests`)
    }
    if (name === 'permit-all') return
    const nobody = as({})
    for (const topic of [
      '#',
      'a',
      'a/b',
      'notifications/x',
      'chat/red/x',
      'devices/d1/telemetry/x',
      'a2a/v1/agents/x/card',
      'spBv1.0/plant/NBIRTH/e1',
    ])
      assert.ok(!nobody.allows('subscribe', topic) && !nobody.allows('publish', topic, { retain: true }), topic)
  })
}

test('a namespace that is no beginning of a topic is refused', () => {
  for (const namespace of ['a//b', '/a', 'a/', '+', 'a/#', '$SYS', 'a\u0000', '\ud800', 'x'.repeat(257), '$share/g'])
    assert.throws(
      () => preset('chat', { namespace }),
      { code: 'request.invalid', message: /levels of a topic/ },
      namespace,
    )
})

test('a namespace keeps a preset to itself', () => {
  for (const name of wanted) {
    const { tests = [] } = preset(name, { namespace: 'here' })
    const as = subjectsOf(preset(name, { namespace: 'there' }))
    for (const { as: identity, do: action, topic = '', qos = 0, retain = false } of tests.filter(
      (one) => one.do !== 'connect',
    ))
      assert.equal(
        as(identity).decide(action as AccessAction, topic, { qos, retain }).decision,
        'deny',
        `${name}: ${topic}`,
      )
  }
})
