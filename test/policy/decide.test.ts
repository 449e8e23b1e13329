// Places where an index could say something else than the rules: each of these once did, or would without the line it guards.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AccessAction } from '#src/policy/access.ts'
import { compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession, decide } from '#src/policy/decide.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'

function policyOf(...rules: readonly Record<string, unknown>[]) {
  const numbered = rules.map((rule, i) => ({ id: `r${i}`, effect: 'allow', ...rule }))
  const { policy, problems } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', rules: numbered })
  assert.deepEqual(problems, [])
  assert.ok(policy)
  return compilePolicy(policy)
}

function decisionOf(
  policy: ReturnType<typeof policyOf>,
  identity: Identity,
  action: AccessAction,
  topic: string,
): string {
  return decide(policy, identity, { action, topic }).decision
}

test('a rule that is found by its key is held to its other conditions too', () => {
  const policy = policyOf(
    { topics: ['a'], when: { allOf: [{ sub: 'u' }, { scopes: ['write'] }] } },
    { topics: ['b'], when: { username: { in: ['u'] }, tls: true } },
    { topics: ['c'], when: { groups: { anyOf: ['g'], noneOf: ['banned'] } } },
    { topics: [{ regex: 'd/.*' }], when: { clientId: 'c' } },
  )
  const cases: readonly [topic: string, identity: Identity, decision: string][] = [
    ['a', { sub: 'u' }, 'deny'],
    ['a', { sub: 'u', scopes: ['write'] }, 'allow'],
    ['b', { username: 'u' }, 'deny'],
    ['b', { username: 'u', tls: true }, 'allow'],
    ['c', { groups: ['g', 'banned'] }, 'deny'],
    ['c', { groups: ['g'] }, 'allow'],
    ['d/x', { clientId: 'other' }, 'deny'],
    ['d/x', { clientId: 'c' }, 'allow'],
  ]
  for (const [topic, identity, decision] of cases)
    assert.equal(decisionOf(policy, identity, 'publish', topic), decision, `${topic} ${JSON.stringify(identity)}`)
})

test('a literal ${ and a variable of that name are different levels', () => {
  const policy = policyOf({ topics: ['p/${clientId}$${username}'] }, { topics: ['q/${clientId}${username}'] })
  const identity = { clientId: 'c', username: 'u' }
  assert.deepEqual(
    ['p/c${username}', 'p/cu', 'q/cu', 'q/c${username}'].map((topic) => decisionOf(policy, identity, 'publish', topic)),
    ['allow', 'deny', 'allow', 'deny'],
  )
})

test('a variable that a deny cannot use is any level wherever it stands, unsubscribing too', () => {
  const policy = policyOf(
    { effect: 'deny', topics: ['${claims.x}/#'], actions: ['unsubscribe', 'publish'] },
    { topics: [{ filter: '#', dollar: true }], actions: ['publish'], priority: -1 },
  )
  assert.equal(decisionOf(policy, {}, 'unsubscribe', '#'), 'deny')
  assert.equal(decisionOf(policy, {}, 'unsubscribe', '+/#'), 'deny')
  assert.equal(decisionOf(policy, {}, 'publish', '$SYS/x'), 'deny', 'a deny takes names with $ by default')
  assert.equal(decisionOf(policy, { claims: { x: 'a' } }, 'publish', 'b/x'), 'allow')
})

test('an eq whose variable spans levels compares text: its own wildcards are text as well', () => {
  const policy = policyOf({ topics: [{ eq: '+/${claims.p|path}/#' }], actions: ['subscribe'] })
  const identity = { claims: { p: 'a/b' } }
  assert.equal(decisionOf(policy, identity, 'subscribe', '+/a/b/#'), 'allow')
  assert.equal(decisionOf(policy, identity, 'subscribe', 'x/a/b/#'), 'deny')
  assert.equal(decisionOf(policy, identity, 'subscribe', '+/a/b/c'), 'deny')
})

test('behind a rule that decides at one place, others of that place still decide at theirs', () => {
  const policy = policyOf(
    { topics: ['a/#'], priority: 5 },
    { effect: 'deny', topics: ['a/#', 'b/#'], priority: 4 },
    { topics: ['#'] },
  )
  assert.deepEqual(
    ['a/x', 'b/x', 'c'].map((topic) => decisionOf(policy, {}, 'publish', topic)),
    ['allow', 'deny', 'allow'],
  )
})

test('sessions of one policy do not see each other, and decisions leave nothing behind', () => {
  const policy = policyOf({ topics: ['own/${clientId}/#'] }, { effect: 'deny', topics: ['own/+/secret'] })
  const [one, two] = [createSession(policy, { clientId: 'one' }), createSession(policy, { clientId: 'two' })]
  for (let i = 0; i < 3; i++) {
    assert.equal(one.decide({ action: 'publish', topic: 'own/one/x' }).decision, 'allow')
    assert.equal(two.decide({ action: 'publish', topic: 'own/one/x' }).decision, 'deny')
    assert.equal(two.decide({ action: 'subscribe', topic: 'own/two/#' }).decision, 'deny')
    assert.equal(two.decide({ action: 'subscribe', topic: 'own/two/x' }).decision, 'allow')
    assert.equal(one.decide({ action: 'publish', topic: '' }).reason, 'invalid-topic:empty')
  }
})

test('the longest and the deepest topic are decided, one more of either is refused', () => {
  const policy = policyOf({ topics: ['#'] })
  const deep = (levels: number) => Array.from({ length: levels }, () => 'a').join('/')
  assert.equal(decisionOf(policy, {}, 'publish', deep(128)), 'allow')
  assert.equal(decisionOf(policy, {}, 'publish', deep(129)), 'deny')
  assert.equal(decisionOf(policy, {}, 'subscribe', `${deep(127)}/#`), 'allow')
  assert.equal(decisionOf(policy, {}, 'publish', 'a'.repeat(65_535)), 'allow')
  assert.equal(decisionOf(policy, {}, 'publish', 'a'.repeat(65_536)), 'deny')
})

test('the pattern that decided is told with its variables filled in, and a name that a wider filter shares with a deny', () => {
  const policy = policyOf({ topics: ['own/${clientId}/#'] }, { effect: 'deny', topics: ['own/+/${claims.list[]}'] })
  const session = createSession(policy, { clientId: 'one', claims: { list: ['a', 'b'] } })
  const tell = (action: AccessAction, topic: string) => {
    const request = { action, topic }
    const { decision } = session.decide(request)
    return [decision, session.decidingPattern(request)]
  }
  assert.deepEqual(tell('publish', 'own/one/x'), ['allow', { pattern: 'own/one/#', example: null }])
  assert.deepEqual(tell('publish', 'own/one/b'), ['deny', { pattern: 'own/+/b', example: null }])
  assert.deepEqual(tell('subscribe', 'own/one/#'), ['deny', { pattern: 'own/+/a', example: 'own/one/a' }])
  assert.deepEqual(tell('publish', 'elsewhere'), ['deny', null])
})

test('many levels with variables at one place are found by their text', () => {
  const topics = Array.from({ length: 100 }, (_, i) => `\${clientId}-${i}/x`)
  const policy = policyOf(
    { topics },
    { effect: 'deny', topics: Array.from({ length: 20 }, (_, i) => `\${claims.gone}-${i}/secret`), priority: 1 },
  )
  const session = createSession(policy, { clientId: 'c' })
  const decide = (topic: string) => session.decide({ action: 'publish', topic }).decision
  assert.deepEqual(['c-0/x', 'c-99/x', 'c-100/x', 'd-0/x', 'c-0/secret', 'any/secret'].map(decide), [
    'allow',
    'allow',
    'deny',
    'deny',
    'deny',
    'deny',
  ])
  assert.equal(
    session.decide({ action: 'publish', topic: 'any/secret' }).reason,
    'rule',
    'a deny that cannot be filled in takes any level',
  )
})

test('a value that a list has a thousand times is tried once', () => {
  const policy = policyOf({ id: 'd', effect: 'deny', topics: [{ regex: '${claims.list[]}(/.*)?', subscribe: 'text' }] })
  const identity = { claims: { list: Array(1_000).fill('a') } }
  const decided = decide(policy, identity, { action: 'publish', topic: 'a'.repeat(65_535) }, true)
  assert.equal(decided.reason, 'default', 'within the effort of a decision')
})

test('hostile policies stay bounded: regexes and holes in denies have an effort for each decision, and beyond it deny', () => {
  const regexes = Array.from({ length: 1_500 }, (_, i) => ({ regex: `.*a.{${12 + (i % 3)}}${i.toString(36)}` }))
  const wildcards = Array.from({ length: 2_048 }, (_, m) =>
    Array.from({ length: 11 }, (_, i) => ((m >> i) & 1 ? '+' : 'a')).join('/'),
  )
  const cases = [
    policyOf({ effect: 'deny', topics: regexes, actions: ['subscribe'] }, { topics: ['#'] }),
    policyOf(
      { topics: wildcards.map((one) => `${one}/y`), priority: 1, actions: ['subscribe'] },
      ...Array.from({ length: 3_000 }, (_, i) => ({
        effect: 'deny',
        topics: [`${'a/'.repeat(11)}${i}x`],
        actions: ['subscribe'],
      })),
    ),
  ]
  for (const [i, policy] of cases.entries()) {
    const startedMs = performance.now()
    assert.equal(decisionOf(policy, {}, 'subscribe', '#'), 'deny')
    assert.ok(performance.now() - startedMs < 2_000, `case ${i} took ${performance.now() - startedMs} ms`)
  }
})
