import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Qos } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { type Asked, aclConf, emqxAllows, type Rule } from './emqx-model.ts'
import { hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = levelTexts(['a', 'c1', 'bob', '$s'], 3)
const filters = filterTexts(['a', 'c1', '$s'], 3)
const topicTexts = filterTexts(['a', '${clientid}', '${username}', '$s'], 3)
const qosLevels: readonly Qos[] = [0, 1, 2]

const topic = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...topicTexts).map((text) => ({ text, isEq: false })) },
  { weight: 1, arbitrary: fc.constantFrom('a', 'a/c1', '$s/a').map((text) => ({ text, isEq: true })) },
)
const filterText = fc.constantFrom('#', 'a/#', '+/a').map((text) => ({ text, isEq: true }))
const ruleOf = (
  effect: 'allow' | 'deny',
  topics: fc.Arbitrary<Rule['topics'][number]>,
  actions: readonly Rule['action'][],
): fc.Arbitrary<Rule> =>
  fc.record(
    {
      effect: fc.constant(effect),
      who: fc.record(
        {
          username: fc.constantFrom('bob', 'eve'),
          clientId: fc.constant('c1'),
          usernameRegex: fc.constantFrom('^b', 'e'),
        },
        { requiredKeys: [] },
      ),
      action: fc.constantFrom(...actions),
      qos: fc.subarray([...qosLevels], { minLength: 1 }),
      retain: fc.boolean(),
      topics: fc.array(topics, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ['effect', 'who', 'action', 'topics'] },
  )
const every: readonly Rule['action'][] = ['publish', 'subscribe', 'all']
/** Without a QoS for SUBSCRIBE, where a grant is a choice and not a condition. */
const withoutSubscribeQos = (rule: Rule): Rule => {
  const { qos: _, ...rest } = rule
  return rule.action === 'publish' ? rule : rest
}
const lists = (map: (rule: Rule) => Rule) =>
  fc.array(
    fc
      .oneof(
        ruleOf('allow', topic, every),
        ruleOf('deny', fc.oneof({ weight: 4, arbitrary: topic }, { weight: 1, arbitrary: filterText }), every),
      )
      .map(map),
    { maxLength: 7 },
  )

const people: readonly Identity[] = [
  { clientId: 'c1', username: 'bob' },
  { clientId: 'a', username: 'eve' },
  { clientId: 'c1' },
]
const asked = (action: Asked['action'], name: string, qos: Qos = 0, retain = false): Asked => ({
  action,
  topic: name,
  qos,
  retain,
})

/** Rules with `${username}` stop EMQX from asking further for a client without one; those are left to another test. */
const canAsk = (rules: readonly Rule[], who: Identity) =>
  who.username !== undefined || !JSON.stringify(rules).includes('${username}')

test('acl.conf: every publish and every name is decided as by the first rule that matches, and no filter stands for a refused name', (t) => {
  let granted = 0
  forEvery(t, lists(withoutSubscribeQos), 200, (rules) => {
    const policy = imported('emqx', aclConf(rules))
    for (const who of people.filter((one) => canAsk(rules, one))) {
      const subject = policy.as(who)
      const readable = new Set(names.filter((name) => emqxAllows(rules, who, asked('subscribe', name))))
      for (const [i, name] of names.entries()) {
        const [qos, retain] = [qosLevels[i % 3] ?? 0, i % 2 === 0]
        assert.equal(
          subject.allows('publish', name, { qos, retain }),
          emqxAllows(rules, who, asked('publish', name, qos, retain)),
          `publish ${name} by ${aclConf(rules)}`,
        )
        assert.equal(subject.allows('receive', name), readable.has(name), `receive ${name} by ${aclConf(rules)}`)
        assert.equal(subject.allows('subscribe', name), readable.has(name), `subscribe ${name} by ${aclConf(rules)}`)
      }
      for (const filter of filters) {
        if (!subject.allows('subscribe', filter)) continue
        granted++
        assert.ok(emqxAllows(rules, who, asked('subscribe', filter)), `${filter} by ${aclConf(rules)}`)
        assert.equal(
          names.find((name) => stands(filter, name) && !readable.has(name)),
          undefined,
          `${filter} by ${aclConf(rules)}`,
        )
      }
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 100)
})

test('a SUBSCRIBE is granted no QoS at which EMQX would refuse it', (t) => {
  let granted = 0
  forEvery(
    t,
    lists((rule) => rule),
    200,
    (rules) => {
      const policy = imported('emqx', aclConf(rules))
      for (const who of people.filter((one) => canAsk(rules, one))) {
        const subject = policy.as(who)
        for (const filter of filters) {
          const { decision, qos } = subject.decide('subscribe', filter, { qos: 2 })
          if (decision === 'deny') continue
          granted++
          assert.ok(
            qos !== null && emqxAllows(rules, who, asked('subscribe', filter, qos)),
            `${filter} at ${qos} by ${aclConf(rules)}`,
          )
        }
      }
    },
  )
  assert.ok(granted > 100)
})

test('both forms are one policy', (t) => {
  forEvery(
    t,
    lists((rule) => ({ ...rule, who: {} })),
    50,
    (rules) => {
      const acl = rules.map(({ effect, action, qos, retain, topics }) => ({
        permission: effect,
        action,
        topics: topics.map(({ text, isEq }) => (isEq ? `eq ${text}` : text)),
        ...(qos ? { qos } : {}),
        ...(retain === undefined || action === 'subscribe' ? {} : { retain }),
      }))
      assert.deepEqual(imported('emqx', { result: 'allow', acl }).document, imported('emqx', aclConf(rules)).document)
      assert.deepEqual(imported('emqx', JSON.stringify(acl)).document, imported('emqx', { acl }).document)
    },
  )
})

test('the file that EMQX comes with', () => {
  const text = `%%-- comment
{allow, {username, {re, "^dashboard$"}}, subscribe, ["$SYS/#"]}.
{allow, {ipaddr, "127.0.0.1"}, all, ["$SYS/#", "#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}, {eq, "+/#"}]}.
{allow, all}.
`
  const policy = imported('emqx', text)
  const somebody = policy.as({ username: 'bob', ip: '10.0.0.1' })
  assert.ok(somebody.allows('publish', 'a/b') && somebody.allows('subscribe', 'a/#'))
  for (const filter of ['#', '+/#', '$SYS/#', '$SYS/broker']) assert.ok(!somebody.allows('subscribe', filter), filter)
  assert.ok(
    policy.as({ username: 'dashboard' }).allows('subscribe', '$SYS/#') &&
      policy.as({ ip: '127.0.0.1' }).allows('subscribe', '$SYS/#'),
  )
})

test('an id that EMQX would read as structure gets no grant, and a deny with it refuses all below', () => {
  const policy = imported(
    'emqx',
    '{deny, all, publish, ["d/${clientid}/x"]}. {allow, all, all, ["a/${clientid}/#", "d/#"]}.',
  )
  const subject = (clientId: string) => policy.as({ clientId })
  assert.ok(
    subject('c').allows('publish', 'a/c/x') &&
      !subject('c').allows('publish', 'd/c/x') &&
      subject('c').allows('publish', 'd/y'),
  )
  for (const clientId of ['+', '#', 'c/x', 'c/#']) {
    assert.ok(!subject(clientId).allows('publish', 'a/c/x'), clientId)
    assert.ok(!subject(clientId).allows('publish', 'd/c/x'), clientId)
  }
  assert.ok(!subject('c/y').allows('publish', 'd/c/y/x') && !subject('#').allows('publish', 'd/z/z/z'))
})

test('a filter that is compared as text is granted as such, with its deliveries', () => {
  const subject = imported('emqx', [{ permission: 'allow', action: 'all', topic: 'eq a/#' }]).as({})
  assert.ok(
    subject.allows('subscribe', 'a/#') && !subject.allows('subscribe', 'a/b') && !subject.allows('publish', 'a/b'),
  )
  assert.ok(subject.allows('receive', 'a/b') && !subject.allows('receive', 'b'))
})

test('the built-in database: client ids first, then user names, then all', () => {
  const rules = (permission: string, topic: string) => [{ permission, action: 'publish', topic }]
  const policy = imported('emqx', [
    { rules: rules('deny', '#') },
    { username: 'u', rules: rules('allow', 'a') },
    { clientid: 'c', rules: rules('deny', 'a') },
  ])
  assert.ok(policy.as({ username: 'u', clientId: 'x' }).allows('publish', 'a'))
  assert.ok(
    !policy.as({ username: 'u', clientId: 'c' }).allows('publish', 'a') &&
      !policy.as({ username: 'v' }).allows('publish', 'a'),
  )
})

test('QoS and retain in their spellings', () => {
  const json = (members: object) =>
    imported('emqx', [{ permission: 'allow', action: 'pub', topic: 'a', ...members }]).document.rules[0]
  assert.deepEqual(json({ qos: '1,2', retain: 1 })?.qos, [1, 2])
  assert.equal(json({ qos: 0, retain: 'true' })?.retain, 'require')
  assert.equal(json({ retain: '0' })?.retain, 'forbid')
  assert.equal(json({ qos: null, retain: 'all' })?.retain, undefined)
  const deny = imported('emqx', [{ permission: 'deny', action: 'all', topic: 'a', qos: 1, retain: true }])
  assert.deepEqual(
    deny.document.rules.map(({ actions, qos }) => [actions, qos]),
    [
      [['publish'], [1]],
      [['subscribe', 'receive'], undefined],
    ],
  )
  assert.ok(hasNote(deny, 'stricter', '[0]'))
})
