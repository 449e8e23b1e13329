import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { POLICY_SCHEMA, type PolicyDocument, type Qos, type RuleDocument } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { exportPolicy } from '#src/policy/importers/export-policy.ts'
import { imported, subjectsOf } from './imported.ts'
import { filterTexts, levelTexts } from './mqtt-model.ts'
import { forEvery } from './property.ts'

const names = levelTexts(['a', 'c1', '$s'], 2)
const filters = filterTexts(['a', 'c1', '$s'], 2)
const people: readonly Identity[] = [
  { clientId: 'c1', username: 'bob', groups: ['ops'], ip: '10.0.0.1', protocol: 4 },
  { clientId: 'x', username: 'eve', groups: [], ip: '192.168.0.1', protocol: 5 },
  { clientId: '+', groups: ['ops', 'admin'] },
]

/** Everything that a policy answers about a few topics. */
function answers(document: PolicyDocument): readonly string[] {
  const as = subjectsOf(document)
  const told = []
  for (const who of people) {
    const subject = as(who)
    for (const qos of [0, 1, 2] as Qos[]) {
      for (const name of names) {
        const published = subject.decide('publish', name, { qos, retain: qos === 1 })
        told.push(`publish ${name} ${qos}: ${published.decision} ${published.qos} ${published.retain}`)
      }
      for (const filter of filters) {
        const { decision, qos: granted, reason } = subject.decide('subscribe', filter, { qos })
        told.push(`subscribe ${filter} ${qos}: ${decision} ${granted} ${reason === 'filtered'}`)
      }
    }
    for (const name of names) told.push(`receive ${name}: ${subject.allows('receive', name)}`)
    for (const filter of filters) told.push(`unsubscribe ${filter}: ${subject.allows('unsubscribe', filter)}`)
  }
  return told
}

function written(dialect: string, document: PolicyDocument): string {
  const result = exportPolicy(dialect, document)
  return result.text ?? assert.fail(JSON.stringify(result.problems))
}

const policy = (rules: readonly RuleDocument[], more: Partial<PolicyDocument> = {}): PolicyDocument => ({
  schema: POLICY_SCHEMA,
  id: 'p',
  rules,
  ...more,
})
const numbered = (rules: readonly Omit<RuleDocument, 'id'>[]): RuleDocument[] =>
  rules.map((rule, i) => ({ id: `r${i}`, ...rule }))
const tier = fc.constantFrom(0, 0, 1, 5)

const sentinelConditions = [
  { username: 'bob' },
  { username: { eq: 'eve' } },
  { username: { regex: '^b', mode: 'search' }, groups: ['ops'] },
  { groups: { anyOf: ['admin', 'x'] } },
  { ip: '10.0.0.0/8', protocol: 4 },
  { ip: ['192.168.0.1'] },
  { protocol: [5], clientId: 'x' },
  {},
] as const
const sentinelRule: fc.Arbitrary<Omit<RuleDocument, 'id'>> = fc
  .record({
    effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
    priority: tier,
    enabled: fc.constantFrom(true, true, true, false),
    when: fc.constantFrom<NonNullable<RuleDocument['when']>[]>(...sentinelConditions),
    actions: fc.constantFrom(
      ['publish' as const],
      ['subscribe' as const, 'receive' as const],
      ['publish' as const, 'subscribe' as const],
      ['unsubscribe' as const],
    ),
    topics: fc.array(fc.constantFrom(...filters), { minLength: 1, maxLength: 2 }),
    maxQos: fc.option(fc.constantFrom(0 as const, 1 as const, 2 as const), { nil: undefined }),
  })
  .map(({ maxQos, topics, ...rule }) => ({
    ...rule,
    topics: topics.map((filter) => ({ filter, dollar: true })),
    ...(maxQos !== undefined && rule.effect === 'allow' ? { maxQos } : {}),
  }))

test('sentinel: a document that can be written decides alike when it is imported again', (t) => {
  const documents = fc.tuple(fc.array(sentinelRule, { maxLength: 6 }), fc.constantFrom('deny' as const, 'cap' as const))
  forEvery(t, documents, 200, ([rules, qosMode]) => {
    const document = policy(numbered(rules.map((rule) => (rule.maxQos === undefined ? rule : { ...rule, qosMode }))))
    assert.deepEqual(
      answers(imported('sentinel', written('sentinel', document)).document),
      answers(document),
      JSON.stringify(document),
    )
  })
})

const guard: RuleDocument = {
  id: 'guard',
  effect: 'deny',
  priority: 0,
  when: { anyOf: [{ username: { regex: '[+#]', mode: 'search' } }, { clientId: { regex: '[+#]', mode: 'search' } }] },
  actions: ['publish', 'subscribe', 'receive'],
  topics: [{ filter: '#', dollar: true }],
}
const mosquittoRule = (topics: readonly string[], when: fc.Arbitrary<RuleDocument['when']>, priority: number) =>
  fc
    .record({
      effect: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const),
      when,
      actions: fc.constantFrom<RuleDocument['actions']>(
        ['publish'],
        ['subscribe', 'receive'],
        ['publish', 'subscribe', 'receive'],
      ),
      topics: fc.array(fc.constantFrom(...topics), { minLength: 1, maxLength: 2 }),
    })
    .map(({ effect, when: who, actions, topics: list }): Omit<RuleDocument, 'id'> => {
      const isDeny = effect === 'deny'
      return {
        effect,
        priority,
        ...(who ? { when: who } : {}),
        actions: isDeny ? ['publish', 'subscribe', 'receive'] : (actions ?? []),
        topics: isDeny ? list.map((filter) => ({ filter: filter.replace(/\$\{\w+\}/, 'a'), dollar: false })) : list,
      }
    })

test('mosquitto: a document that can be written decides alike when it is imported again', (t) => {
  const own = mosquittoRule(
    filters,
    fc.constantFrom<RuleDocument['when'][]>(
      { username: 'bob' },
      { username: { eq: 'eve' } },
      { username: { exists: false } },
    ),
    3,
  )
  const shared = mosquittoRule([...filters, 'a/${clientId}', '${username}/#'], fc.constant(undefined), 0)
  const documents = fc.tuple(fc.array(own, { maxLength: 4 }), fc.array(shared, { maxLength: 4 }))
  forEvery(t, documents, 200, ([users, everybody]) => {
    const rules = [...numbered([...users, ...everybody]), ...(everybody.length > 0 ? [guard] : [])]
    const document = policy(rules, { options: { subscribe: 'filtered' } })
    assert.deepEqual(
      answers(imported('mosquitto', written('mosquitto', document)).document),
      answers(document),
      JSON.stringify(document),
    )
  })
})

test('what was imported can be written again', () => {
  const acl = {
    rules: [
      {
        name: 'a b',
        match: { 'username-regex': '^s-', 'client-ip': '10.0.0.0/8' },
        topics: ['#', '$SYS/x'],
        actions: ['publish'],
        decision: 'allow',
        'max-qos': 1,
        priority: 7,
      },
      { name: 'no', topics: ['internal/#'], decision: 'deny' },
    ],
  }
  const once = imported('sentinel', { acl, qos: { downgrade: false } }).document
  assert.deepEqual(imported('sentinel', written('sentinel', once)).document, once)
  const text = 'topic read a/#\nuser bob\ntopic deny x/#\ntopic readwrite b/+\npattern write c/%c/#\n'
  const file = imported('mosquitto', text).document
  const again = written('mosquitto', file)
  assert.equal(again, 'topic read a/#\npattern write c/%c/#\nuser bob\ntopic deny x/#\ntopic readwrite b/+\n')
  assert.deepEqual(answers(imported('mosquitto', again).document), answers(file))
})
