import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CelineRoles, type CelineRule, type CelineSubject, celineAllows } from './celine-model.ts'
import { celineIdentity } from './celine-subject.ts'
import { assertRefused, hasNote, imported } from './imported.ts'
import { filterTexts, levelTexts, stands } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = levelTexts(['a', 'b', '', '$s'], 3)
const filters = filterTexts(['a', 'b', '$s'], 3)
const groups = ['viewers', 'editors']
const scopes = ['mqtt.read', 'mqtt.write', 'mqttx.read']

const subset = <T>(values: readonly T[], minLength = 0) => fc.subarray([...values], { minLength })
const orAll = <T>(list: fc.Arbitrary<T>): fc.Arbitrary<T | '*'> =>
  fc.oneof({ arbitrary: list, weight: 4 }, { arbitrary: fc.constant('*' as const), weight: 1 })
const ruleArbitrary: fc.Arbitrary<CelineRule> = fc.record(
  {
    subjects: fc.record(
      {
        types: orAll(subset(['user', 'service', 'anonymous'])),
        ids: orAll(subset(['u1', 's1'])),
        groups: orAll(subset(groups)),
        scopes: orAll(subset([...scopes, 'mqtt.*'])),
      },
      { requiredKeys: [] },
    ),
    topics: orAll(fc.array(fc.constantFrom(...filters), { minLength: 1, maxLength: 3 })),
    actions: orAll(subset(['subscribe', 'read', 'publish'])),
    effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
  },
  { requiredKeys: [] },
)
const permissions = (holders: readonly string[]) =>
  fc.dictionary(fc.constantFrom(...holders), subset(['subscribe', 'read', 'publish', 'superuser']))
const sourceArbitrary = fc.record({
  rules: fc.array(ruleArbitrary, { maxLength: 5 }),
  roles: fc.record(
    { group_permissions: permissions(groups), scope_permissions: permissions(scopes) },
    { requiredKeys: [] },
  ) as fc.Arbitrary<CelineRoles>,
})
const people: readonly CelineSubject[] = [
  { id: 'u1', type: 'user', groups: ['viewers'], scopes: [] },
  { id: 's1', type: 'service', groups: [], scopes: ['mqtt.read', 'mqtt.write'] },
  { id: 'u2', type: 'user', groups: ['viewers', 'editors'], scopes: ['mqttx.read'] },
  { id: 'n', type: 'anonymous', groups: [], scopes: [] },
]

test('imported rules decide every topic name as documented, and no filter stands for a name that they refuse', (t) => {
  let granted = 0
  forEvery(t, sourceArbitrary, 250, ({ rules, roles }) => {
    const policy = imported('celine', { rules, roles })
    for (const who of people) {
      const subject = policy.as(celineIdentity(who))
      const allows = (action: 'subscribe' | 'read' | 'publish', name: string) =>
        celineAllows(rules, roles, who, action, name)
      const readable = new Set(names.filter((name) => allows('subscribe', name)))
      for (const name of names) {
        assert.equal(subject.allows('publish', name), allows('publish', name), `publish ${name}`)
        assert.equal(subject.allows('receive', name), allows('read', name), `read ${name}`)
        assert.equal(subject.allows('subscribe', name), readable.has(name), `subscribe ${name}`)
      }
      for (const filter of filters) {
        if (!subject.allows('subscribe', filter)) continue
        granted++
        assert.equal(
          names.find((name) => stands(filter, name) && !readable.has(name)),
          undefined,
          filter,
        )
      }
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 100)
})

const roles: CelineRoles = {
  group_permissions: { viewers: ['subscribe', 'read'] },
  scope_permissions: { 'mqtt.write': ['publish'] },
}
const viewer: CelineSubject = { id: 'u1', type: 'user', groups: ['viewers'], scopes: [] }

test('a viewer may read and not publish; a deny refuses whatever overlaps it', () => {
  const rules: CelineRule[] = [
    { subjects: { groups: ['viewers'] }, topics: ['celine/#'], actions: '*' },
    { subjects: { groups: ['viewers'] }, topics: ['celine/secret'], actions: ['subscribe', 'read'], effect: 'deny' },
  ]
  const policy = imported('celine', { rules, roles })
  const subject = policy.as(celineIdentity(viewer))
  assert.equal(subject.decide('subscribe', 'celine/a').rule, 'rule-0-subscribe')
  assert.equal(subject.decide('publish', 'celine/a').reason, 'default')
  assert.equal(subject.decide('subscribe', 'celine/+').reason, 'deny-overlap')
  assert.equal(subject.decide('receive', 'celine/secret').rule, 'rule-1-read')
  assert.ok(hasNote(policy, 'stricter', 'rules[1]'))
})

test('a scope of a rule that ends in .* stands for those that begin so, beside the others of the list', () => {
  const rules: CelineRule[] = [{ subjects: { scopes: ['mqtt.*', 'exact'] }, topics: ['a'], actions: ['read'] }]
  const grants = {
    scope_permissions: { 'mqtt.write': ['read'], mqttx: ['read'], exact: ['read'], 'exact.x': ['read'] },
  }
  const policy = imported('celine', { rules, roles: grants })
  const holders = Object.keys(grants.scope_permissions)
  const reading = holders.filter((scope) => policy.as({ type: 'service', scopes: [scope] }).allows('receive', 'a'))
  assert.deepEqual(reading, ['mqtt.write', 'exact'])
})

test('the wrapped form is the same policy', () => {
  const rules: CelineRule[] = [{ subjects: {}, topics: '*', actions: ['read'] }]
  const wrapped = { celine: { mqtt: { acl: { rules } }, roles } }
  assert.deepEqual(imported('celine', wrapped).document.rules, imported('celine', { rules, roles }).document.rules)
})

test('what never decides is left out and told', () => {
  const rules: CelineRule[] = [
    { topics: ['a'], actions: ['read'] },
    { subjects: { groups: [] }, topics: ['a'], actions: ['read'] },
    { subjects: {}, topics: [], actions: ['read'] },
    { subjects: {}, topics: ['a'], actions: ['publish'] },
  ]
  const policy = imported('celine', {
    rules,
    roles: { group_permissions: { admins: ['read', 'superuser', 'delete'] } },
  })
  assert.deepEqual(policy.document.rules, [])
  for (const path of [
    'rules[0]',
    'rules[1].subjects',
    'rules[2]',
    'rules[3]',
    'roles.group_permissions.admins[1]',
    'roles.group_permissions.admins[2]',
  ])
    assert.ok(hasNote(policy, 'dropped', path), path)
})

test('names of groups that look like members of an object are names', () => {
  const source =
    '{"rules":[{"subjects":{"groups":["__proto__"]},"topics":["a"],"actions":["read"]}],"roles":{"group_permissions":{"__proto__":["read"],"constructor":["read"]}}}'
  const subject = imported('celine', source).as({ groups: ['__proto__'] })
  assert.ok(subject.allows('receive', 'a'))
  assert.ok(
    !imported('celine', source)
      .as({ groups: ['toString'] })
      .allows('receive', 'a'),
  )
})

const one = (rule: unknown, more: object = { roles }) => ({ rules: [rule], ...more })
const whole = { subjects: {}, topics: ['a'], actions: ['read'] }
const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['an effect that is none', one({ ...whole, effect: 'ALLOW' }), 'rules[0].effect', /"allow" or "deny"/],
  [
    'an action that is none',
    one({ ...whole, actions: ['write'] }),
    'rules[0].actions[0]',
    /subscribe, read or publish/,
  ],
  ['"*" in a list of actions', one({ ...whole, actions: ['*'] }), 'rules[0].actions[0]', /only as the text/],
  [
    '"*" in a list of groups',
    one({ ...whole, subjects: { groups: ['*'] } }),
    'rules[0].subjects.groups[0]',
    /only as the text/,
  ],
  [
    'a type that is none',
    one({ ...whole, subjects: { types: ['device'] } }),
    'rules[0].subjects.types[0]',
    /user, service or anonymous/,
  ],
  ['a glob in a topic', one({ ...whole, topics: ['a/*/b'] }), 'rules[0].topics[0]', /glob/],
  ['# before the end', one({ ...whole, topics: ['a/#/b'] }), 'rules[0].topics[0]', /last level/],
  ['subjects that are no object', one({ ...whole, subjects: '*' }), 'rules[0].subjects', /must be an object/],
  ['a misspelt member', one({ ...whole, subject: {} }), 'rules[0].subject', /did you mean subjects/],
  ['a document without roles', one(whole, {}), 'roles', /group_permissions/],
  ['a document without rules', { roles }, 'rules', /required/],
  ['a document of something else', { celine: { mqtt: {} } }, 'celine', /mqtt\.acl\.rules/],
]
for (const [name, input, at, message] of wrong)
  test(`celine refuses ${name}`, () => assertRefused('celine', input, at, message))
