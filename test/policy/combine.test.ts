import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessRequest, Decision, Reason } from '#src/policy/access.ts'
import { decideBoth } from '#src/policy/combine.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

function sessionOf(rules: readonly RuleDocument[], more: Partial<PolicyDocument> = {}) {
  const { policy, problems } = parsePolicy({ schema: POLICY_SCHEMA, id: 'p', rules, ...more })
  assert.ok(policy, JSON.stringify(problems))
  return createSession(compilePolicy(policy), { clientId: 'c1' })
}

const rule = (
  id: string,
  effect: 'allow' | 'deny',
  actions: RuleDocument['actions'],
  topic: string,
  more: Partial<RuleDocument> = {},
): RuleDocument => ({
  id,
  effect,
  ...(actions && { actions }),
  topics: [topic],
  ...more,
})

const always = (decision: Decision) => ({ decide: () => decision })
const request: AccessRequest = { action: 'publish', topic: 'a', qos: 1 }

const deny = (reason: Reason, id: string | null = null): Decision => ({
  decision: 'deny',
  reason,
  rule: id,
  qos: null,
  retain: null,
})
const allow = (reason: Reason, id: string | null, qos: 0 | 1 | 2 = 1, retain = true): Decision => ({
  decision: 'allow',
  reason,
  rule: id,
  qos,
  retain,
})

const decisions: readonly Decision[] = [
  deny('default'),
  deny('rule', 'd'),
  deny('deny-overlap', 'd'),
  deny('qos-exceeds', 'd'),
  deny('invalid-topic:nul'),
  deny('invalid-action'),
  allow('rule', 'a'),
  allow('rule', 'a', 0, false),
  allow('rule', 'a', 2, true),
  allow('default', null),
  allow('filtered', 'a'),
]

test('a refusal of either refuses, the silence of one leaves it to the other, and of both refuses', () => {
  let compared = 0
  for (const stored of decisions) {
    for (const session of decisions) {
      const both = decideBoth(always(stored), always(session), request)
      const refused = [stored, session].find((one) => one.decision === 'deny' && one.reason !== 'default')
      const isSaid = session.decision === 'allow' && session.rule !== null
      const allows = [...(stored.decision === 'allow' ? [stored] : []), ...(isSaid ? [session] : [])]
      compared++
      assert.equal(both.decision, !refused && allows.length > 0 ? 'allow' : 'deny')
      if (refused)
        assert.deepEqual([both.reason, both.rule, both.qos, both.retain], [refused.reason, refused.rule, null, null])
      else if (allows.length === 0) assert.deepEqual(both, { ...deny('default'), by: 'stored' })
      else {
        assert.equal(both.qos, Math.min(...allows.map(({ qos }) => qos ?? 9)), 'the lower QoS')
        assert.equal(
          both.retain,
          allows.every(({ retain }) => retain),
          'retained only where both say so',
        )
        if (allows.some(({ reason }) => reason === 'filtered')) assert.equal(both.reason, 'filtered')
        assert.equal(both.by === 'stored' ? stored.decision : session.decision, 'allow')
      }
    }
  }
  assert.equal(compared, decisions.length ** 2)
})

test('what rules of a session do not speak of is not allowed by them, a CONNECT neither', () => {
  const closed = { publish: 'deny', subscribe: 'deny', connect: 'deny', unsubscribe: 'deny' } as const
  const stored = sessionOf([], { default: closed })
  const silent = [
    sessionOf([]),
    sessionOf([rule('own', 'allow', ['publish', 'subscribe', 'receive'], 'own/#')]),
    sessionOf([], { default: 'allow' }),
  ]
  const spoken = sessionOf([
    { id: 'in', effect: 'allow', actions: ['connect'] },
    rule('leave', 'allow', ['unsubscribe'], 'a/#'),
  ])
  const asked: readonly AccessRequest[] = [
    { action: 'connect', topic: '' },
    { action: 'unsubscribe', topic: 'a/b' },
    { action: 'publish', topic: 'a/b' },
    { action: 'subscribe', topic: 'a/#' },
    { action: 'receive', topic: 'a/b' },
  ]
  for (const one of asked) {
    for (const session of silent)
      assert.deepEqual(decideBoth(stored, session, one), { ...deny('default'), by: 'stored' }, one.action)
    const isSpokenOf = one.action === 'connect' || one.action === 'unsubscribe'
    assert.equal(decideBoth(stored, spoken, one).decision, isSpokenOf ? 'allow' : 'deny', one.action)
  }
  const open = sessionOf([], { default: { ...closed, connect: 'allow', publish: 'allow' } })
  for (const one of asked.filter(({ action }) => action === 'connect' || action === 'publish'))
    assert.equal(
      decideBoth(open, sessionOf([]), one).by,
      'stored',
      'what the stored policy allows by default it still does',
    )
})

test('what the stored policy denies is not looked at further', () => {
  const session = { decide: () => assert.fail('asked') }
  assert.deepEqual(decideBoth(always(deny('rule', 'd')), session, request), { ...deny('rule', 'd'), by: 'stored' })
})

test('rules of a session add to a stored policy and take from it', () => {
  const stored = sessionOf([
    rule('read', 'allow', ['subscribe', 'receive'], 'news/#'),
    rule('write', 'allow', ['publish'], 'up/#', { maxQos: 1, qosMode: 'cap' }),
    rule('never', 'deny', ['publish', 'subscribe', 'receive'], 'secret/#'),
  ])
  const session = sessionOf([
    rule('own', 'allow', ['publish'], 'own/#'),
    rule('up', 'allow', ['publish'], 'up/#', { retain: 'strip' }),
    rule('all', 'allow', ['publish', 'subscribe', 'receive'], 'secret/#'),
    rule('quiet', 'deny', ['subscribe', 'receive'], 'news/sport/#'),
  ])
  const at = (action: AccessRequest['action'], topic: string, more: Partial<AccessRequest> = {}) =>
    decideBoth(stored, session, { action, topic, ...more })
  const brief = ({ decision, reason, rule: id, by }: ReturnType<typeof at>) => [decision, reason, id, by]
  assert.deepEqual(brief(at('publish', 'own/x')), ['allow', 'rule', 'own', 'session'])
  assert.deepEqual(at('publish', 'up/x', { qos: 2, retain: true }), {
    decision: 'allow',
    reason: 'rule',
    rule: 'write',
    qos: 1,
    retain: false,
    by: 'stored',
  })
  assert.deepEqual(
    brief(at('publish', 'secret/x')),
    ['deny', 'rule', 'never', 'stored'],
    'a session never undoes a deny',
  )
  assert.deepEqual(brief(at('receive', 'news/a')), ['allow', 'rule', 'read', 'stored'])
  assert.deepEqual(brief(at('receive', 'news/sport/a')), ['deny', 'rule', 'quiet', 'session'])
  assert.deepEqual(
    brief(at('subscribe', 'news/#')),
    ['deny', 'deny-overlap', 'quiet', 'session'],
    'the deny lies inside the filter',
  )
  assert.deepEqual(brief(at('subscribe', '#')), ['deny', 'deny-overlap', 'never', 'stored'])
  assert.deepEqual(brief(at('publish', 'other')), ['deny', 'default', null, 'stored'])
  assert.deepEqual(brief(at('publish', 'a/+')), ['deny', 'invalid-topic:wildcard-in-name', null, 'stored'])
  assert.equal(at('connect', '').decision, 'allow')
})

test('a subscription that one document is silent about is filtered, because the silent one may deny a part of it', () => {
  const silent = sessionOf([rule('part', 'deny', ['subscribe', 'receive'], 'a/secret', { overlap: 'filter' })])
  const open = sessionOf([rule('all', 'allow', ['subscribe', 'receive'], 'a/#')])
  for (const [stored, session] of [
    [silent, open],
    [open, silent],
  ] as const) {
    const granted = decideBoth(stored, session, { action: 'subscribe', topic: 'a/#' })
    assert.deepEqual([granted.decision, granted.reason], ['allow', 'filtered'])
    assert.equal(decideBoth(stored, session, { action: 'receive', topic: 'a/secret' }).decision, 'deny')
    assert.equal(decideBoth(stored, session, { action: 'receive', topic: 'a/b' }).decision, 'allow')
    const blind = decideBoth(stored, session, { action: 'subscribe', topic: 'a/#' }, false)
    assert.deepEqual([blind.decision, blind.reason], ['deny', 'deny-overlap'], 'where deliveries are not checked')
  }
})

/** All requests over a few names and filters, under all pairs of small documents. */
test('an allowed subscription holds no name that either document denies, and every allow is one of a document', () => {
  const topics = ['a', 'a/b', 'a/c', 'b']
  const filters = ['#', 'a/#', 'a/+', 'a/b', '+/b', '+', 'b']
  const parts: readonly RuleDocument[] = [
    rule('1', 'allow', ['publish', 'subscribe', 'receive'], 'a/#'),
    rule('2', 'allow', ['publish', 'subscribe', 'receive'], '#'),
    rule('3', 'deny', ['publish', 'subscribe', 'receive'], 'a/b'),
    rule('4', 'deny', ['publish', 'subscribe', 'receive'], '+'),
    rule('5', 'deny', ['subscribe', 'receive'], 'a/+', { overlap: 'filter' }),
  ]
  const documents = Array.from({ length: 32 }, (_, bits) => sessionOf(parts.filter((_part, i) => bits & (1 << i))))
  const matches = (filter: string, topic: string) =>
    sessionOf([rule('m', 'allow', ['receive'], filter)], { options: { receive: 'explicit' } }).decide({
      action: 'receive',
      topic,
    }).decision === 'allow'
  const inside = new Map(filters.map((filter) => [filter, topics.filter((topic) => matches(filter, topic))]))
  let allowed = 0
  for (const stored of documents) {
    for (const session of documents) {
      for (const topic of topics) {
        const asked: AccessRequest = { action: 'publish', topic }
        const [a, b, both] = [stored.decide(asked), session.decide(asked), decideBoth(stored, session, asked)]
        const isRefused = [a, b].some((one) => one.decision === 'deny' && one.reason !== 'default')
        assert.equal(both.decision, !isRefused && [a, b].some((one) => one.decision === 'allow') ? 'allow' : 'deny')
      }
      for (const filter of filters) {
        const granted = decideBoth(stored, session, { action: 'subscribe', topic: filter }, false)
        if (granted.decision === 'deny') continue
        allowed++
        for (const topic of inside.get(filter) ?? [])
          assert.equal(
            decideBoth(stored, session, { action: 'receive', topic }).decision,
            'allow',
            `${filter} holds ${topic}`,
          )
      }
    }
  }
  assert.ok(allowed > 200, `${allowed}`)
})
