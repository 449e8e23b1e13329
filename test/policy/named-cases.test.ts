// The cases L1 to L18 of the threat list of topic policies, by their numbers; those of other surfaces stand with these.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessRequest } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

const anyone: Identity = { clientId: 'c' }

function compiled(rules: readonly unknown[], members: Record<string, unknown> = {}) {
  const { policy, problems } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', ...members, rules })
  assert.deepEqual(problems, [])
  assert.ok(policy)
  return compilePolicy(policy)
}

function judge(rules: readonly unknown[], identity = anyone, members: Record<string, unknown> = {}) {
  const session = createSession(compiled(rules, members), identity)
  return (action: AccessRequest['action'], topic: string, more: Partial<AccessRequest> = {}) =>
    session.decide({ action, topic, ...more }).decision
}

const allow = (topics: readonly unknown[], more: Record<string, unknown> = {}) => ({
  id: 'a',
  effect: 'allow',
  topics,
  ...more,
})
const deny = (topics: readonly unknown[], more: Record<string, unknown> = {}) => ({
  id: 'd',
  effect: 'deny',
  topics,
  ...more,
})

test('L1: no rule, no matching rule and an unknown action deny; an unknown effect is no document', () => {
  for (const rules of [[], [allow(['x'])]])
    for (const action of ['publish', 'will', 'subscribe', 'receive'] as const)
      assert.equal(judge(rules)(action, 'y'), 'deny', `${action} with ${rules.length} rules`)
  assert.equal(judge([allow(['#'])])('superuser' as 'publish', 'y'), 'deny')
  assert.equal(
    parsePolicy({ schema: 'mqtt-policy/1', id: 'p', rules: [{ ...allow(['x']), effect: 'maybe' }] }).policy,
    undefined,
  )
})

test('L1: a condition that throws decides nothing: the error is seen, never taken for an allow', () => {
  const claims = Object.defineProperty({}, 'x', {
    enumerable: true,
    get: () => {
      throw new Error('hostile getter')
    },
  })
  const decide = judge([allow(['#'], { when: { 'claims.x': 'y' } })], { clientId: 'c', claims })
  assert.throws(() => decide('publish', 'a'), /hostile getter/)
  assert.equal(judge([])('publish', 'a'), 'deny', 'and the next decision is not harmed')
})

test('L2: filters are contained, not compared as text', () => {
  const cases: readonly [pattern: string, filter: string, decision: string][] = [
    ['a/+/c', 'a/#', 'deny'],
    ['a/#', 'a/+', 'allow'],
    ['+', '#', 'deny'],
    ['#', '+/#', 'allow'],
    ['+/#', '#', 'allow'],
    ['a/#', 'a', 'allow'],
    ['a', 'a/#', 'deny'],
    ['a/+', 'a', 'deny'],
  ]
  for (const [pattern, filter, decision] of cases)
    assert.equal(judge([allow([pattern])])('subscribe', filter), decision, `${filter} under ${pattern}`)
})

test('L3: an allow of # leaves out $SYS, $queue, $stream; a deny of # takes them in', () => {
  const narrow = judge([allow(['#'])])
  const wide = judge([deny(['#']), allow([{ filter: '#', dollar: true }], { priority: -1 })])
  for (const topic of ['$SYS/x', '$queue/x', '$stream/x', '$share-not/x', '$']) {
    for (const action of ['publish', 'subscribe', 'receive'] as const) {
      assert.equal(narrow(action, topic), 'deny', `${action} ${topic} under allow #`)
      assert.equal(wide(action, topic), 'deny', `${action} ${topic} under deny #`)
    }
  }
  assert.equal(
    judge([allow([{ filter: '#', dollar: true }])])('publish', '$queue/x'),
    'allow',
    'opted in, it is allowed',
  )
  assert.equal(
    judge([deny([{ filter: '#', dollar: false }]), allow([{ filter: '#', dollar: true }], { priority: -1 })])(
      'publish',
      '$queue/x',
    ),
    'allow',
  )
})

test('L5: deny beats allow in a tier, a higher tier beats both, and 1,000 orders give the same', () => {
  const rules = [
    allow(['a/#']),
    { ...deny(['a/b/#']), id: 'd1' },
    { ...allow(['a/b/c']), id: 'a2', priority: 5 },
    { ...deny(['a/b/c/d']), id: 'd2', priority: 9 },
    { ...allow(['x/+']), id: 'a3', maxQos: 1, qosMode: 'cap' },
    { ...allow(['x/#']), id: 'a4', maxQos: 0, qosMode: 'cap' },
  ]
  const asked: AccessRequest[] = ['a/x', 'a/b/x', 'a/b/c', 'a/b/c/d', 'x/y'].flatMap((topic) => [
    { action: 'publish', topic, qos: 2 },
    { action: 'subscribe', topic, qos: 2 },
  ])
  const answers = (order: readonly unknown[]) => {
    const session = createSession(compiled(order), anyone)
    return asked.map((request) => session.decide(request))
  }
  const expected = answers(rules)
  assert.deepEqual(
    expected.filter((_, i) => i % 2 === 0).map(({ decision, rule, qos }) => [decision, rule, qos]),
    [
      ['allow', 'a', 2],
      ['deny', 'd1', null],
      ['allow', 'a2', 2],
      ['deny', 'd2', null],
      ['allow', 'a3', 1],
    ],
  )
  let seed = 20_261_127
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  for (let i = 0; i < 1_000; i++) {
    const shuffled = [...rules]
    for (let j = shuffled.length - 1; j > 0; j--) {
      const k = random(j + 1)
      const [one, other] = [shuffled[j] as object, shuffled[k] as object]
      shuffled[j] = other as (typeof rules)[number]
      shuffled[k] = one as (typeof rules)[number]
    }
    assert.deepEqual(answers(shuffled), expected)
  }
})

test('L7: case, normal forms, spaces and look-alikes are other topics; none is folded into another', () => {
  const decide = judge([allow(['admin/é'])])
  assert.equal(decide('publish', 'admin/é'), 'allow')
  for (const topic of [
    'Admin/é',
    'admin/e\u0301',
    'admin/é ',
    ' admin/é',
    'ａdmin/é',
    'аdmin/é',
    'admin/é\ufeff',
    'adminx/é',
    'admin/é/',
  ])
    assert.equal(decide('publish', topic), 'deny', JSON.stringify(topic))
})

test('L8: no client id or user name is ever a wildcard, a level more, or a template', () => {
  const rules = [allow(['own/${clientId}/#']), { ...allow(['u/${username}']), id: 'b' }]
  for (const text of [
    '+',
    '#',
    'a/b',
    '',
    '%u',
    '${sub}',
    '%c',
    '*',
    '.*',
    'x'.repeat(65_536),
    'a\u0000',
    '\u0007',
    '\ud800',
  ]) {
    const decide = judge(rules, { clientId: text, username: text })
    for (const topic of ['own/victim/x', 'own/a/b/x', 'u/victim', 'u/a', 'own/#', 'u/+', 'own/+/x'])
      for (const action of ['publish', 'subscribe', 'receive'] as const)
        assert.equal(decide(action, topic), 'deny', `${JSON.stringify(text.slice(0, 20))} ${action} ${topic}`)
  }
  assert.equal(judge(rules, { clientId: '%u' })('publish', 'own/%u/x'), 'allow', 'it is text, and matches itself')
})

test('L10: publish, subscribe and delivery are allowed each on its own, with QoS and retain as conditions', () => {
  const decide = judge(
    [
      allow(['p/#'], { actions: ['publish'], qos: [0, 1], retain: 'forbid' }),
      { ...allow(['s/#'], { actions: ['subscribe'] }), id: 'b' },
    ],
    anyone,
    { options: { receive: 'explicit' } },
  )
  assert.deepEqual(
    [
      decide('publish', 'p/x', { qos: 1 }),
      decide('publish', 'p/x', { qos: 2 }),
      decide('publish', 'p/x', { retain: true }),
      decide('subscribe', 'p/x'),
      decide('subscribe', 's/x'),
      decide('publish', 's/x'),
      decide('receive', 's/x'),
    ],
    ['allow', 'deny', 'deny', 'deny', 'allow', 'deny', 'deny'],
  )
})

test('L12: patterns that hang other engines are refused, or stay linear: a topic of 65 KB is judged at once', () => {
  for (const regex of ['(a)\\1', '(?<=a)b', '(?=a)b', 'a'.repeat(10_240)])
    assert.equal(
      parsePolicy({ schema: 'mqtt-policy/1', id: 'p', rules: [allow([{ regex }])] }).policy,
      undefined,
      regex.slice(0, 20),
    )
  const thousand = Array.from({ length: 700 }, (_, i) => `w${i}`).join('|')
  for (const regex of ['(a+)+b', '(a|a)*b', '(a*)*b', `(${thousand})*`]) {
    const decide = judge([allow([{ regex }])])
    decide('publish', 'aaaa')
    const startedMs = performance.now()
    assert.equal(decide('publish', 'a'.repeat(65_000)), 'deny')
    assert.ok(performance.now() - startedMs < 1_000, `${regex.slice(0, 20)} took ${performance.now() - startedMs} ms`)
  }
})

test('L18: adding a deny never allows, and a narrower request is never refused where the wider one is granted', () => {
  const decide = judge([allow(['a/#'])])
  assert.equal(decide('subscribe', 'a/#'), 'allow')
  for (const filter of ['a/+', 'a/b', 'a/b/#', 'a/+/c', 'a']) assert.equal(decide('subscribe', filter), 'allow', filter)
  const denied = judge([allow(['a/#']), deny(['a/b/+'])])
  for (const filter of ['a/#', 'a/b/#', 'a/+/c', 'x']) assert.equal(denied('subscribe', filter), 'deny', filter)
})
