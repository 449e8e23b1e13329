import assert from 'node:assert/strict'
import { test } from 'node:test'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
import { exportPolicy } from '#src/policy/importers/export-policy.ts'

const policy = (rules: readonly RuleDocument[], more: Partial<PolicyDocument> = {}): PolicyDocument => ({
  schema: POLICY_SCHEMA,
  id: 'p',
  rules,
  ...more,
})
const filtered = { options: { subscribe: 'filtered' as const } }
const allow = (members: Partial<RuleDocument>): RuleDocument => ({
  id: 'r',
  effect: 'allow',
  actions: ['publish'],
  topics: ['a'],
  ...members,
})
const guard: RuleDocument = {
  id: 'guard',
  effect: 'deny',
  when: { anyOf: [{ username: { regex: '[+#]', mode: 'search' } }, { clientId: { regex: '[+#]', mode: 'search' } }] },
  actions: ['publish', 'subscribe', 'receive'],
  topics: [{ filter: '#', dollar: true }],
}

const wrong: readonly [name: string, dialect: string, document: unknown, at: string, message: RegExp][] = [
  ['a default of allow', 'sentinel', policy([], { default: 'allow' }), 'default', /lowest priority/],
  ['a default for connect', 'sentinel', policy([], { default: { connect: 'deny' } }), 'default', /connect/],
  ['an option', 'sentinel', policy([], { options: { receive: 'explicit' } }), 'options.receive', /derive/],
  ['a variable', 'sentinel', policy([allow({ topics: ['a/${clientId}'] })]), 'rules[0].topics', /variable/],
  ['a capture', 'sentinel', policy([allow({ topics: ['a/+:x'] })]), 'rules[0].topics[0]', /capture/],
  ['an eq', 'sentinel', policy([allow({ topics: [{ eq: '#' }] })]), 'rules[0].topics[0]', /only filters/],
  [
    'a wildcard that leaves out $',
    'sentinel',
    policy([allow({ topics: ['#'] })]),
    'rules[0].topics[0]',
    /dollar: true/,
  ],
  ['a condition', 'sentinel', policy([allow({ when: { tls: true } })]), 'rules[0].when.tls', /no counterpart/],
  [
    'a full match',
    'sentinel',
    policy([allow({ when: { username: { regex: 'a' } } })]),
    'rules[0].when.username',
    /mode: search/,
  ],
  [
    'classes that are Unicode there',
    'sentinel',
    policy([allow({ when: { username: { regex: '^\\d', mode: 'search' } } })]),
    'rules[0].when.username',
    /\[0-9\]/,
  ],
  [
    'two nets',
    'sentinel',
    policy([allow({ when: { ip: ['10.0.0.1', '10.0.0.2'] } })]),
    'rules[0].when.ip',
    /a rule for each/,
  ],
  [
    'all of some groups',
    'sentinel',
    policy([allow({ when: { groups: { allOf: ['a'] } } })]),
    'rules[0].when.groups',
    /any of/,
  ],
  [
    'two ways to limit QoS',
    'sentinel',
    policy([allow({ maxQos: 1, qosMode: 'cap' }), allow({ id: 's', maxQos: 1 })]),
    '',
    /everywhere or nowhere/,
  ],
  ['a condition on QoS', 'sentinel', policy([allow({ qos: [1] })]), 'rules[0].qos', /no counterpart/],
  [
    'deliveries by themselves',
    'sentinel',
    policy([allow({ actions: ['receive'] })]),
    'rules[0].actions',
    /beside receive/,
  ],
  [
    'a connect rule',
    'sentinel',
    policy([{ id: 'c', effect: 'deny', actions: ['connect'] }]),
    'rules[0].actions',
    /connect/,
  ],
  ['a policy that is none', 'sentinel', { schema: 'x' }, 'schema', /must be/],
  ['strict subscriptions', 'mosquitto', policy([]), 'options.subscribe', /filtered/],
  ['a limit', 'mosquitto', policy([allow({ maxQos: 1 })], filtered), 'rules[0].maxQos', /no counterpart/],
  ['a pattern without its guard', 'mosquitto', policy([allow({})], filtered), '', /add the rule/],
  ['a guard without pattern', 'mosquitto', policy([guard], filtered), '', /only where there are patterns/],
  [
    'a deny for one direction',
    'mosquitto',
    policy([allow({ effect: 'deny', when: { username: 'u' } })], filtered),
    'rules[0].actions',
    /publish and subscribe both/,
  ],
  [
    'a variable in a deny',
    'mosquitto',
    policy(
      [guard, allow({ effect: 'deny', actions: ['publish', 'subscribe', 'receive'], topics: ['a/${clientId}'] })],
      filtered,
    ),
    'rules[1].topics',
    /deny with a variable/,
  ],
  [
    'another variable',
    'mosquitto',
    policy([guard, allow({ topics: ['a/${org}'] })], filtered),
    'rules[1].topics',
    /clientId and username/,
  ],
  [
    'a text that is a variable there',
    'mosquitto',
    policy([guard, allow({ topics: ['a/%c'] })], filtered),
    'rules[1].topics',
    /read as variables/,
  ],
  [
    'a condition on something else',
    'mosquitto',
    policy([allow({ when: { clientId: 'c' } })], filtered),
    'rules[0].when',
    /one user name/,
  ],
  [
    'a name with a blank in front',
    'mosquitto',
    policy([allow({ when: { username: ' u' } })], filtered),
    'rules[0].when.username',
    /written in a line/,
  ],
  [
    'an order that files do not have',
    'mosquitto',
    policy([guard, allow({ when: { username: 'u' } }), allow({ id: 's', topics: ['b'], priority: 5 })], filtered),
    '',
    /one priority/,
  ],
  ['a dialect that is not written', 'aws', policy([]), '', /known are sentinel, mosquitto/],
]
for (const [name, dialect, document, at, message] of wrong)
  test(`export to ${dialect} refuses ${name}`, () => {
    const result = exportPolicy(dialect, document)
    if (result.text !== undefined) assert.fail(result.text)
    assert.match(
      result.problems.find(({ path }) => path === at)?.message ?? '',
      message,
      JSON.stringify(result.problems),
    )
  })
