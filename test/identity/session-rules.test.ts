import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  MAX_SESSION_RULES,
  MAX_SESSION_RULES_BYTES,
  type RulesFormat,
  readSessionRules,
} from '#src/identity/session-rules.ts'
import type { AccessAction } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

function decider(format: RulesFormat, value: unknown) {
  const { document, ...rest } = readSessionRules(format, value)
  assert.ok(document, JSON.stringify(rest))
  const { policy } = parsePolicy(document)
  assert.ok(policy)
  const session = createSession(compilePolicy(policy), { clientId: 'c1', username: 'u1' })
  return (action: AccessAction, topic: string) => session.decide({ action, topic }).decision
}

const allow = { id: 'own', effect: 'allow', actions: ['publish'], topics: ['d/${clientId}/#'] }

test('each form of rules becomes a document that denies what they do not allow', () => {
  const rules = decider('rules', [allow, { id: 'no', effect: 'deny', actions: ['publish'], topics: ['d/+/x'] }])
  assert.deepEqual(
    ['d/c1/t', 'd/c1/x', 'd/c2/t', 'e'].map((topic) => rules('publish', topic)),
    ['allow', 'deny', 'deny', 'deny'],
  )
  for (const names of [
    ['pub', 'sub'],
    ['pubAuthRulePatterns', 'subAuthRulePatterns'],
  ] as const) {
    const tbmq = decider('tbmq', { [names[0]]: ['a/.*', 'x[12]'], [names[1]]: ['b/[^/]+'] })
    assert.deepEqual(
      ['a/b/c', 'x1', 'x3', 'b/c', '$SYS/a'].map((topic) => tbmq('publish', topic)),
      ['allow', 'allow', 'deny', 'deny', 'deny'],
    )
    assert.deepEqual(
      ['b/+', 'b/#', 'a/b', '#'].map((topic) => tbmq('subscribe', topic)),
      ['allow', 'deny', 'deny', 'deny'],
    )
  }
  const one = decider('tbmq', { pub: ['a'] })
  assert.deepEqual(
    [one('publish', 'a'), one('subscribe', 'a')],
    ['allow', 'deny'],
    'a list that is not there allows nothing',
  )
  const emqx = decider('emqx', [
    { permission: 'allow', action: 'all', topic: 'd/${clientid}/#' },
    { permission: 'allow', action: 'subscribe', topic: 'eq d/+' },
  ])
  assert.deepEqual(
    [emqx('publish', 'd/c1/t'), emqx('publish', 'd/c2/t'), emqx('subscribe', 'd/+')],
    ['allow', 'deny', 'allow'],
  )
  assert.equal(decider('rules', [])('publish', 'a'), 'deny')
  assert.equal(decider('tbmq', { pub: [], sub: [] })('publish', 'a'), 'deny')
})

const everywhere = [undefined, null, 7, true, 'text', '[]']

/** What is no rules; a single fault refuses all. */
const broken: Readonly<Record<RulesFormat, readonly unknown[]>> = {
  rules: [
    ...everywhere,
    {},
    { rules: [allow] },
    [null],
    [[]],
    [{}],
    [allow, allow],
    [{ ...allow, effect: 'ALLOW' }],
    [{ ...allow, effect: undefined }],
    [{ ...allow, unknown: 1 }],
    [{ ...allow, topics: ['a/#/b'] }],
    [{ ...allow, topics: [] }],
    [{ ...allow, topics: '*' }],
    [{ ...allow, actions: ['read'] }],
    [{ ...allow, topics: [{ regex: '(a)\\1' }] }],
    [{ ...allow, topics: [{ regex: '(' }] }],
    [allow, { ...allow, id: 'two', when: { groups: 7 } }],
    Array.from({ length: MAX_SESSION_RULES + 1 }, (_, i) => ({ ...allow, id: `${i}` })),
    [{ ...allow, description: 'x'.repeat(MAX_SESSION_RULES_BYTES) }],
  ],
  tbmq: [
    ...everywhere,
    [],
    {},
    { pub: null },
    { pub: 'a/.*' },
    { pub: { a: 1 } },
    { pub: [7] },
    { pub: ['a', null] },
    { pub: ['('] },
    { pub: ['(?=a)a'] },
    { pub: ['(a)\\1'] },
    { pub: ['a++'] },
    { pub: ['${cn}'] },
    { pub: ['${username}'] },
    { pub: ['a'], other: [] },
    { pub: ['a'], pubAuthRulePatterns: ['b'] },
    { authRules: null },
    { result: 'success', authRules: { pub: ['a'] } },
    { credentialsType: 'MQTT_BASIC' },
    { credentials: [] },
    { pub: Array.from({ length: 60 }, (_, i) => `a${i}`), sub: Array.from({ length: 60 }, (_, i) => `a${i}`) },
    { pub: [`a{${'x'.repeat(MAX_SESSION_RULES_BYTES)}}`] },
  ],
  emqx: [
    ...everywhere,
    {},
    { acl: [] },
    { pub: ['a'] },
    [null],
    [{}],
    [{ permission: 'allow', action: 'publish' }],
    [{ permission: 'yes', action: 'publish', topic: 'a' }],
    [{ permission: 'allow', action: 'connect', topic: 'a' }],
    [{ permission: 'allow', action: 'publish', topic: 'a', who: 'x' }],
    [{ username: 'u1', rules: [] }],
  ],
}

for (const format of ['rules', 'tbmq', 'emqx'] as const) {
  test(`${format}: whatever is not rules, or too many of them, gives none and says why`, () => {
    const cases = broken[format]
    assert.ok(cases.length > 10)
    for (const value of cases) {
      const read = readSessionRules(format, value)
      assert.equal(read.document, undefined, JSON.stringify(value)?.slice(0, 100))
      assert.ok(read.document === undefined && read.problems.length > 0 && read.problems[0]?.message !== '')
    }
  })
}

test('regexes may cost only so much altogether, so that a login holds nobody else up', () => {
  const nasty = (count: number) => ({
    pub: Array.from({ length: count }, (_, i) => `(a${i}|b|[^/]{1,50}/){1,8}(x.*){3}y`),
  })
  const accepted = Array.from({ length: 20 }, (_, i) => i + 1).filter(
    (count) => readSessionRules('tbmq', nasty(count)).document,
  )
  const most = accepted.length
  assert.ok(most > 0 && most < 20, `${most} are accepted`)
  const read = readSessionRules('tbmq', nasty(100))
  assert.ok(read.document === undefined && read.problems.some(({ message }) => message.includes('5000 instructions')))
  const asRules = nasty(100).pub.map((regex, i) => ({
    id: `${i}`,
    effect: 'allow',
    actions: ['publish'],
    topics: [{ regex }],
  }))
  assert.equal(readSessionRules('rules', asRules).document, undefined)
  const began = performance.now()
  const decide = decider('tbmq', nasty(most))
  decide('publish', 'a1/'.repeat(1_000))
  decide('subscribe', 'a1/#')
  assert.ok(performance.now() - began < 3_000)
  const long = Array.from({ length: 90 }, (_, i) => `a${i}${'(x|y)?'.repeat(60)}`)
  assert.equal(readSessionRules('tbmq', { pub: long }).document, undefined, 'more than 16 KiB of patterns')
})
