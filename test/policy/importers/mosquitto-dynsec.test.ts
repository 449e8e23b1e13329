import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Identity } from '#src/policy/identity.ts'
import { assertRefused, hasNote, imported } from './imported.ts'
import { type Acl, type DynsecConfig, dynsecAllows } from './mosquitto-dynsec-model.ts'
import { filterTexts, levelTexts } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = [...levelTexts(['a', 'c1', 'bob', '$s'], 3), '$CONTROL/x', '$CONTROLx', '$SYS']
const filters = filterTexts(['a', 'c1', '$s'], 3)
const topics = filterTexts(['a', '%c', '%u', '$s'], 2)

const acl: fc.Arbitrary<Acl> = fc.record(
  {
    acltype: fc.constantFrom('publishClientSend', 'publishClientReceive', 'subscribePattern', 'subscribeLiteral'),
    topic: fc.constantFrom(...topics),
    priority: fc.integer({ min: -1, max: 2 }),
    allow: fc.boolean(),
  },
  { requiredKeys: ['acltype', 'topic', 'allow'] },
)
const priority = fc.integer({ min: 0, max: 2 })
const roleNames = ['r1', 'r2', 'r3']
const roles = fc.tuple(
  ...roleNames.map((rolename) =>
    fc.record({
      rolename: fc.constant(rolename),
      acls: fc.uniqueArray(acl, { maxLength: 4, selector: ({ acltype, topic }) => `${acltype} ${topic}` }),
      allowwildcardsubs: fc.constantFrom(true, true, true, false),
    }),
  ),
)
const memberOf = fc.array(fc.record({ rolename: fc.constantFrom(...roleNames), priority }), { maxLength: 2 })
const configs: fc.Arbitrary<DynsecConfig> = fc.record({
  defaultACLAccess: fc.record({
    publishClientSend: fc.boolean(),
    publishClientReceive: fc.boolean(),
    subscribe: fc.boolean(),
  }),
  roles,
  groups: memberOf.map((list) => [{ groupname: 'g1', roles: list }]),
  clients: fc
    .tuple(memberOf, fc.constantFrom([], [{ groupname: 'g1' }]))
    .map(([list, groups]) => [{ username: 'bob', roles: list, groups }, { username: 'eve' }]),
  anonymousGroup: fc.constantFrom('', 'g1'),
})
const people: readonly Identity[] = [
  { username: 'bob', clientId: 'c1' },
  { username: 'eve', clientId: 'a' },
  { clientId: 'c1' },
  { username: 'stranger', clientId: 'c1' },
]

test('an imported configuration decides every publish and delivery as dynamic security does, and grants no other filter', (t) => {
  let granted = 0
  forEvery(t, configs, 200, (config) => {
    const policy = imported('mosquitto-dynsec', config)
    for (const who of people) {
      const subject = policy.as(who)
      for (const name of names) {
        for (const [action, kind] of [
          ['publish', 'publishClientSend'],
          ['receive', 'publishClientReceive'],
          ['subscribe', 'subscribe'],
        ] as const)
          assert.equal(
            subject.allows(action, name),
            dynsecAllows(config, who, kind, name),
            `${action} ${name} of ${JSON.stringify(who)} by ${JSON.stringify(config)}`,
          )
      }
      for (const filter of filters) {
        if (!subject.allows('subscribe', filter)) continue
        granted++
        const spellings = filter === '#' ? ['#', '+/#'] : [filter] // one set of names
        assert.ok(
          spellings.some((one) => dynsecAllows(config, who, 'subscribe', one)),
          `${filter} of ${JSON.stringify(who)} by ${JSON.stringify(config)}`,
        )
      }
    }
  })
  t.diagnostic(`${granted} filters granted`)
  assert.ok(granted > 500)
})

const config = (acls: readonly Acl[], more: object = {}) => ({
  roles: [{ rolename: 'r', acls }],
  clients: [{ username: 'u', password: 'hunter2', roles: [{ rolename: 'r' }] }],
  ...more,
})

test('a deny refuses every filter that overlaps it, which the plugin lets through', () => {
  const policy = imported(
    'mosquitto-dynsec',
    config([
      { acltype: 'subscribePattern', topic: 'secret/#', allow: false, priority: 1 },
      { acltype: 'subscribePattern', topic: '#', allow: true },
    ]),
  )
  const subject = policy.as({ username: 'u' })
  assert.ok(subject.allows('subscribe', 'a/#') && !subject.allows('subscribe', 'secret/x'))
  assert.equal(subject.decide('subscribe', '#').reason, 'deny-overlap')
  assert.ok(hasNote(policy, 'stricter', ''))
})

test('UNSUBSCRIBE by its lists and its default; a disabled client has nothing', () => {
  const acls = [{ acltype: 'unsubscribeLiteral', topic: 'a/#', allow: false }]
  const subject = imported('mosquitto-dynsec', config(acls, { defaultACLAccess: { unsubscribe: true } })).as({
    username: 'u',
  })
  assert.ok(!subject.allows('unsubscribe', 'a/#') && subject.allows('unsubscribe', 'a/b'))
  assert.ok(!imported('mosquitto-dynsec', config(acls)).as({ username: 'u' }).allows('unsubscribe', 'a/b'))
  const disabled = {
    ...config([{ acltype: 'publishClientSend', topic: '#', allow: true }]),
    clients: [{ username: 'u', disabled: true, roles: [{ rolename: 'r' }] }],
  }
  assert.deepEqual(imported('mosquitto-dynsec', disabled).document.rules, [])
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  [
    'a list of an unknown type',
    config([{ acltype: 'subscribe', topic: 'a', allow: true }]),
    'roles[0].acls[0].acltype',
    /subscribeLiteral/,
  ],
  [
    'a role that is not there',
    { clients: [{ username: 'u', roles: [{ rolename: 'x' }] }] },
    'clients[0].roles[0].rolename',
    /there is no "x"/,
  ],
  ['a group that is not there', { anonymousGroup: 'x' }, 'anonymousGroup', /there is no "x"/],
  [
    'a wildcard inside a level',
    config([{ acltype: 'publishClientSend', topic: 'a+', allow: true }]),
    'roles[0].acls[0].topic',
    /whole level/,
  ],
  [
    'a list without topic',
    config([{ acltype: 'publishClientSend', allow: true } as never]),
    'roles[0].acls[0].topic',
    /required/,
  ],
  ['a misspelt member', { client: [] }, 'client', /did you mean clients/],
]
for (const [name, input, at, message] of wrong)
  test(`mosquitto-dynsec refuses ${name}`, () => assertRefused('mosquitto-dynsec', input, at, message))

test('roles that multiply beyond reason are refused, and passwords stay inside', () => {
  const acls = Array.from({ length: 1_000 }, (_, i) => ({ acltype: 'publishClientSend', topic: `t/${i}`, allow: true }))
  const clients = Array.from({ length: 200 }, (_, i) => ({ username: `u${i}`, roles: [{ rolename: 'r' }] }))
  assertRefused('mosquitto-dynsec', { roles: [{ rolename: 'r', acls }], clients }, '', /more than 100000 rules/)
  const { document, notes } = imported(
    'mosquitto-dynsec',
    config([{ acltype: 'publishClientSend', topic: 'a', allow: true }]),
  )
  assert.ok(!JSON.stringify({ document, notes }).includes('hunter2'))
})
