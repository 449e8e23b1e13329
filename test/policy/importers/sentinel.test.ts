import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'
import { type SentinelAcl, type SentinelRule, sentinelAllows } from './sentinel-model.ts'

const rule = (members: Partial<SentinelRule> = {}): SentinelRule => ({
  name: 'r',
  topics: ['#'],
  decision: 'allow',
  ...members,
})

const names = levelTexts(['a', 'b', '', '$s'], 3)
const filters = filterTexts(['a', 'b', '$s'], 3)

const subset = <T>(values: readonly T[], minLength = 0) => fc.subarray([...values], { minLength })
const ruleArbitrary: fc.Arbitrary<SentinelRule> = fc.record(
  {
    name: fc.constantFrom('r', 'one', 'two', 'default-action', 'a name with spaces'),
    match: fc.record(
      {
        username: fc.constantFrom('alice', 'sensor-1'),
        'username-regex': fc.constantFrom('^sensor-', 'l', '^alice$'),
        'client-id': fc.constantFrom('c1', 'c2'),
        'client-id-regex': fc.constantFrom('^c', '2$'),
        groups: subset(['ops', 'admin']),
        'protocol-version': fc.constantFrom(4, 5),
      },
      { requiredKeys: [] },
    ),
    topics: fc.array(fc.constantFrom(...filters), { minLength: 1, maxLength: 3 }),
    actions: subset(['publish', 'subscribe', 'unsubscribe']),
    decision: fc.constantFrom('allow' as const, 'deny' as const),
    priority: fc.integer({ min: -1, max: 2 }),
    'max-qos': fc.constantFrom(0, 1, 2),
  },
  { requiredKeys: ['name', 'topics', 'decision'] },
)
const aclArbitrary: fc.Arbitrary<SentinelAcl> = fc.record(
  {
    enabled: fc.constantFrom(true, true, true, false),
    'default-action': fc.constantFrom('allow' as const, 'deny' as const),
    rules: fc.array(ruleArbitrary, { maxLength: 6 }),
  },
  { requiredKeys: [] },
)
const people: readonly Identity[] = [
  { clientId: 'c1', username: 'alice', groups: ['ops'], protocol: 4 },
  { clientId: 'c2', username: 'sensor-1', groups: [], protocol: 5 },
  { clientId: 'x' },
]

test('an imported acl decides every topic name as the gateway does, and no filter stands for a name that it refuses', (t) => {
  let decided = 0
  let granted = 0
  forEvery(t, aclArbitrary, 150, (acl) => {
    const policy = imported('sentinel', { acl })
    for (const who of people) {
      const subject = policy.as(who)
      const delivered = new Set(names.filter((name) => sentinelAllows(acl, who, 'subscribe', name)))
      for (const name of names) {
        const published = sentinelAllows(acl, who, 'publish', name)
        assert.equal(subject.allows('publish', name), published, `publish ${name}`)
        assert.equal(subject.allows('will', name), published, `will ${name}`)
        assert.equal(subject.allows('receive', name), delivered.has(name), `receive ${name}`)
        assert.equal(subject.allows('subscribe', name), delivered.has(name), `subscribe ${name}`)
        decided++
      }
      for (const filter of filters) {
        if (!subject.allows('subscribe', filter)) continue
        granted++
        const leak = names.find((name) => stands(filter, name) && !delivered.has(name))
        assert.equal(leak, undefined, `${filter} delivers ${leak}`)
      }
    }
  })
  t.diagnostic(`${decided} names, ${granted} filters granted`)
  assert.ok(granted > 1_000)
})

test('the whole document and the section alone are one policy', () => {
  const acl = { rules: [rule()] }
  assert.deepEqual(imported('sentinel', acl).document, imported('sentinel', { acl }).document)
  assert.deepEqual(imported('sentinel', JSON.stringify({ acl })).document, imported('sentinel', { acl }).document)
  assert.deepEqual(imported('sentinel', {}).document.rules, [])
})

test('the first rule by priority decides, and ties keep the order of the file', () => {
  const rules = [
    rule({ name: 'late', topics: ['a/#'], decision: 'deny' }),
    rule({ name: 'first', topics: ['a/b'], priority: 5 }),
    rule({ name: 'never', topics: ['a/b'], priority: 0 }),
  ]
  const subject = imported('sentinel', { acl: { rules } }).as({})
  assert.equal(subject.decide('publish', 'a/b').rule, 'first')
  assert.equal(subject.decide('publish', 'a/c').rule, 'late')
})

test('max-qos caps, and refuses where the document does not downgrade', () => {
  const acl = {
    rules: [rule({ 'max-qos': 1, topics: ['t'] }), rule({ name: 'd', decision: 'deny', 'max-qos': 1, topics: ['x'] })],
  }
  const capped = imported('sentinel', { acl })
  assert.deepEqual(
    { ...capped.as({}).decide('publish', 't', { qos: 2 }) },
    { decision: 'allow', reason: 'rule', rule: 'r', qos: 1, retain: false },
  )
  assert.equal(capped.as({}).decide('subscribe', 't', { qos: 2 }).qos, 1)
  assert.ok(hasNote(capped, 'stricter', 'acl.rules[0].max-qos'))
  assert.ok(hasNote(capped, 'dropped', 'acl.rules[1].max-qos'))
  const strict = imported('sentinel', { acl, qos: { downgrade: false } })
  assert.equal(strict.as({}).decide('publish', 't', { qos: 2 }).reason, 'qos-exceeds')
  assert.ok(hasNote(strict, 'dropped', 'qos'))
})

test('what never decides is left out and told', () => {
  const policy = imported('sentinel', {
    acl: {
      'rules-file': '/etc/rules.json',
      rules: [
        rule({ match: { groups: [] } }),
        rule({ topics: [] }),
        rule({ actions: ['connect'] }),
        rule({ actions: ['connect', 'publish'], match: { username: 'u', 'username-regex': 'x' } }),
      ],
    },
  })
  assert.equal(policy.document.rules.length, 1)
  for (const path of [
    'acl.rules[0].match.groups',
    'acl.rules[1].topics',
    'acl.rules[2].actions[0]',
    'acl.rules[3].match.username-regex',
    'acl.rules-file',
  ])
    assert.ok(hasNote(policy, 'dropped', path), path)
})

test('names stay ids; a second of the same name and one that cannot be an id are renamed and told', () => {
  const policy = imported('sentinel', {
    acl: { rules: [rule({ name: 'x' }), rule({ name: 'x' }), rule({ name: '' }), rule({ name: 'n'.repeat(500) })] },
  })
  assert.deepEqual(
    policy.document.rules.map(({ id }) => id),
    ['x', 'x~2', 'rule', 'rule~2'],
  )
  assert.deepEqual(
    policy.notes
      .filter(({ kind, path }) => kind === 'changed' && path.startsWith('acl.rules['))
      .map(({ path }) => path),
    ['acl.rules[1]', 'acl.rules[2]', 'acl.rules[3]'],
  )
})

test('a switched-off acl allows everything, as there, and says so', () => {
  const policy = imported('sentinel', { acl: { enabled: false, rules: [rule({ decision: 'deny' })] } })
  assert.equal(policy.as({}).decide('publish', '$SYS/x').rule, 'default-action')
  assert.ok(hasNote(policy, 'ambiguous', 'acl.enabled'))
})

test('text that means something here stands for itself', () => {
  const policy = imported('sentinel', { acl: { rules: [rule({ topics: ['${clientId}/x', '$${a}', 'a$'] })] } })
  const subject = policy.as({ clientId: 'c' })
  assert.ok(
    subject.allows('publish', '${clientId}/x') && subject.allows('publish', '$${a}') && subject.allows('publish', 'a$'),
  )
  assert.ok(!subject.allows('publish', 'c/x'))
})
