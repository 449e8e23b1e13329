// What TBMQ is told once has to say no more than the engine would say each time. ECMAScript's flag `u` stands for Java here: the
// patterns keep to what both read alike, and test/broker-auth/java-rules-jdk.test.ts asks Java itself where there is one.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type JavaRules, javaRules } from '#src/broker-auth/java-rules.ts'
import type { Decision } from '#src/policy/access.ts'
import { decideBoth } from '#src/policy/combine.ts'
import { type CompiledPolicy, compilePolicy } from '#src/policy/compile-policy.ts'
import { createSession } from '#src/policy/decide.ts'
import type { Identity } from '#src/policy/identity.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { createRandom } from '../policy/regex/random.ts'
import { anyPolicyText, filtersOf, namesOf, someIdentity } from './java-rules-cases.ts'

function policyOf(document: Record<string, unknown>): CompiledPolicy {
  const { policy, problems } = parsePolicy({ schema: 'mqtt-policy/1', id: 'p', ...document })
  assert.deepEqual(problems, [])
  assert.ok(policy)
  return compilePolicy(policy)
}

const allow = (...topics: unknown[]) => ({ id: 'r', effect: 'allow', actions: ['publish', 'subscribe'], topics })

test('filters are written as the regular expressions that the page of TBMQ shows, without their holes', () => {
  const { publish, subscribe, leftOut } = javaRules(
    { clientId: 'device-001' },
    policyOf({
      rules: [
        { id: 'a', effect: 'allow', actions: ['publish'], topics: ['sensors/${clientId}/#'] },
        { id: 'b', effect: 'allow', actions: ['subscribe'], topics: ['commands/${clientId}/+'] },
      ],
    }),
  )
  assert.deepEqual(publish, ['(?!(?:[^/]*/){128})sensors/device-001(?:/\\P{Cc}*)?'])
  assert.deepEqual(subscribe, ['commands/device-001/(?:\\+|[^/+#\\p{Cc}]*)'])
  assert.deepEqual(leftOut, [])
  const reads = (filter: string) => matches(subscribe, filter)
  assert.equal(reads('commands/device-001/reset'), true)
  assert.equal(reads('commands/device-001/+'), true)
  assert.equal(reads('commands/device-001/#'), false, 'the page of TBMQ writes [^/]+, which takes #')
})

test('text of an identity is never an operator', () => {
  const identity = { clientId: 'a.*|b\\E(?=^$)[x]{2}' }
  const { publish } = javaRules(identity, policyOf({ rules: [allow('d/${clientId}')] }))
  assert.equal(matches(publish, `d/${identity.clientId}`), true)
  for (const name of ['d/a', 'd/axx', 'b', 'd/b', 'd/a.*']) assert.equal(matches(publish, name), false, name)
})

test('nothing allowed is an empty list, never a missing one', () => {
  assert.deepEqual(javaRules({}, policyOf({ rules: [] })), { publish: [], subscribe: [], leftOut: [] })
})

const named: readonly { rule: Record<string, unknown>; lists: 'publish' | 'subscribe'; why: string }[] = [
  { rule: { actions: ['publish'], topics: ['a'], qos: [0] }, lists: 'publish', why: 'qos' },
  { rule: { actions: ['publish'], topics: ['a'], maxQos: 1 }, lists: 'publish', why: 'maxQos' },
  { rule: { actions: ['publish'], topics: ['a'], maxQos: 1, qosMode: 'cap' }, lists: 'publish', why: 'maxQos' },
  { rule: { actions: ['publish'], topics: ['a'], retain: 'forbid' }, lists: 'publish', why: 'retain' },
  { rule: { actions: ['publish'], topics: ['a'], retain: 'strip' }, lists: 'publish', why: 'retain' },
  { rule: { actions: ['publish'], topics: ['a'], will: false }, lists: 'publish', why: 'will' },
  { rule: { actions: ['subscribe'], topics: ['a'], shared: 'forbid' }, lists: 'subscribe', why: 'shared' },
  { rule: { actions: ['subscribe'], topics: ['a'], shareGroups: ['g'] }, lists: 'subscribe', why: 'shared' },
  { rule: { actions: ['subscribe'], topics: ['a'], qos: [0, 1] }, lists: 'subscribe', why: 'qos' },
  {
    rule: { actions: ['publish'], topics: ['a/+:x'], require: [{ in: 'scopes', any: ['${topic.x}'] }] },
    lists: 'publish',
    why: 'require',
  },
  {
    rule: { actions: ['publish'], topics: [{ regex: '(a+)+b' }] },
    lists: 'publish',
    why: 'a regex that Java may take very long over',
  },
  {
    rule: { actions: ['publish'], topics: [{ regex: '(.b)*' }] },
    lists: 'publish',
    why: 'a regex that Java may take very long over',
  },
  {
    rule: { actions: ['publish'], topics: [{ regex: '.*a.*b.*c' }] },
    lists: 'publish',
    why: 'a regex that Java may take very long over',
  },
]
for (const { rule, lists, why } of named) {
  test(`left out and said: ${JSON.stringify(rule)}`, () => {
    const rules = javaRules({ scopes: ['a'] }, policyOf({ rules: [{ id: 'r', effect: 'allow', ...rule }] }))
    assert.deepEqual(rules[lists], [])
    assert.deepEqual(rules.leftOut, [{ rule: 'r', why }])
  })
}

test('what is too large is left out and said, and the lists stay short', () => {
  const topics = Array.from({ length: 5_000 }, (_, i) => `a/${i}`)
  const many = javaRules({}, policyOf({ rules: [{ ...allow(...topics), actions: ['publish'] }] }))
  assert.equal(many.publish.length, 1_000)
  assert.deepEqual(many.leftOut, [{ rule: '*', why: 'size' }])

  const long = 'x'.repeat(4_000)
  const large = javaRules({}, policyOf({ rules: [allow(...Array.from({ length: 100 }, (_, i) => `${i}/${long}`))] }))
  const characters = [...large.publish, ...large.subscribe].join('').length
  assert.ok(characters > 90_000 && characters <= 100_000, String(characters))
  assert.deepEqual(large.leftOut, [{ rule: '*', why: 'size' }])
})

test('more denies than can be told refuse everything, and rules for others cost nothing', () => {
  const rules = Array.from({ length: 1_001 }, (_, i) => ({
    id: `d${i}`,
    effect: 'deny',
    actions: ['publish'],
    topics: [`a/${i}`],
  }))
  const everything = { id: 'r', effect: 'allow', actions: ['publish', 'subscribe'], topics: ['a/#'] }
  const many = javaRules({}, policyOf({ rules: [everything, ...rules] }))
  assert.deepEqual(many.publish, [])
  assert.equal(many.subscribe.length, 1)
  assert.deepEqual(many.leftOut, [{ rule: '*', why: 'size' }])

  const of = (name: string) => ({ ...everything, id: name, topics: [`a/${name}/#`], when: { username: name } })
  const keyed = policyOf({ rules: Array.from({ length: 3_000 }, (_, i) => of(`u${i}`)) })
  const { publish, leftOut } = javaRules({ username: 'u77' }, keyed)
  assert.deepEqual(publish, ['(?!(?:[^/]*/){128})a/u77(?:/\\P{Cc}*)?'])
  assert.deepEqual(leftOut, [])
})

function matches(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => new RegExp(`^(?:${pattern})$`, 'u').test(text))
}

const unchanged = ({ decision, qos, retain }: Decision, wanted: { qos: number; retain?: boolean }) =>
  decision === 'allow' && qos === wanted.qos && (wanted.retain === undefined || retain === wanted.retain)

test('whatever the lists allow the engine allows, at every QoS, retained and not, as a Will too', () => {
  const random = createRandom(7)
  const counts = { policies: 0, allowedNames: 0, listedNames: 0, allowedFilters: 0, listedFilters: 0 }
  for (let i = 0; i < 200; i++) {
    const identity: Identity = someIdentity(random)
    const policies = [anyPolicyText(random), ...(random.below(3) === 0 ? [anyPolicyText(random)] : [])].map(policyOf)
    const [storedPolicy, ownRules] = policies
    assert.ok(storedPolicy)
    const rules: JavaRules = javaRules(identity, storedPolicy, ownRules)
    const [stored, session] = policies.map((policy) => createSession(policy, identity))
    assert.ok(stored)
    const decide = (request: Parameters<typeof stored.decide>[0]) =>
      session ? decideBoth(stored, session, request, false) : stored.decide(request, false)
    const [publish, subscribe] = [rules.publish, rules.subscribe].map(
      (list) => new RegExp(`^(?:${list.join('|') || '(?!)'})$`, 'u'),
    )
    assert.ok(publish && subscribe)
    const told = () =>
      JSON.stringify({ identity, policies: policies.map(({ policy }) => policy.document.rules), rules })
    for (const topic of namesOf()) {
      const listed = publish.test(topic)
      const isAllowed = ([0, 1, 2] as const).every((qos) =>
        [false, true].every((retain) =>
          (['publish', 'will'] as const).every((action) =>
            unchanged(decide({ action, topic, qos, retain }), { qos, retain }),
          ),
        ),
      )
      assert.ok(!listed || isAllowed, `publish ${topic} is listed: ${told()}`)
      if (isAllowed) counts.allowedNames++
      if (listed) counts.listedNames++
    }
    for (const topic of filtersOf()) {
      const listed = subscribe.test(topic)
      const isAllowed = ([0, 1, 2] as const).every((qos) =>
        ['', '$share/g/'].every((share) =>
          unchanged(decide({ action: 'subscribe', topic: share + topic, qos }), { qos }),
        ),
      )
      assert.ok(!listed || isAllowed, `subscribe ${topic} is listed: ${told()}`)
      if (isAllowed) counts.allowedFilters++
      if (listed) counts.listedFilters++
    }
    counts.policies++
  }
  assert.equal(counts.policies, 200)
  // Sound lists may be empty; these are not. What is missing are conditions, holes carved into denies, and wildcards under regexes.
  assert.ok(counts.listedNames > 0.99 * counts.allowedNames, JSON.stringify(counts))
  assert.ok(counts.listedFilters > 0.95 * counts.allowedFilters, JSON.stringify(counts))
})
