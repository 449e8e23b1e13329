import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createSession } from '#src/policy/decide.ts'
import type { PolicyDocument, RuleDocument } from '#src/policy/document.ts'
import { type LintCode, type LintOptions, lintPolicy } from '#src/policy/lint.ts'
import { lintCodes } from '#src/policy/lint-warnings.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import type { Policy } from '#src/policy/rule.ts'
import { documentArbitrary } from './properties/arbitrary/document.ts'
import { identityArbitrary } from './properties/arbitrary/identity.ts'
import { requestArbitrary } from './properties/arbitrary/request.ts'
import { compileDocument } from './properties/compile-document.ts'
import { propertySeed } from './properties/seed.ts'
import { Tally } from './properties/tally.ts'

type Rules = readonly (Partial<RuleDocument> & object)[]

/** Rules with what a rule needs, where a case does not say it: they warn of nothing else then. */
function documentOf(rules: Rules, more: Partial<PolicyDocument> = {}): PolicyDocument {
  const whole = rules.map((rule, i) => ({ id: `r${i}`, effect: 'allow', actions: ['subscribe'], ...rule }))
  return { schema: 'mqtt-policy/1', id: 'p', ...more, rules: whole as unknown as RuleDocument[] }
}

function policyOf(document: PolicyDocument): Policy {
  const { policy, problems } = parsePolicy(JSON.parse(JSON.stringify(document)))
  assert.ok(policy, JSON.stringify(problems))
  return policy
}

interface Case {
  code: LintCode
  why: string
  warns: Rules
  path: string
  says: RegExp
  quiet: Rules
  options?: LintOptions
  more?: Partial<PolicyDocument>
}

const cases: readonly Case[] = [
  {
    code: 'allow-everything',
    why: 'an allow of #',
    warns: [{ topics: ['#'] }],
    path: 'rules[0].topics[0]',
    says: /name the part that is needed/,
    quiet: [{ topics: ['plant/#'] }, { effect: 'deny', topics: ['#'], actions: ['publish'] }],
  },
  {
    code: 'allow-everything',
    why: 'a filter with another spelling of #',
    warns: [{ topics: [{ filter: '+/#', dollar: true }] }],
    path: 'rules[0].topics[0].filter',
    says: /every topic/,
    quiet: [{ topics: ['+/a/#'] }],
  },
  {
    code: 'allow-everything',
    why: 'a regex of everything',
    warns: [{ topics: [{ regex: '.*' }] }],
    path: 'rules[0].topics[0].regex',
    says: /every topic/,
    quiet: [{ topics: [{ regex: 'a/.*' }] }],
  },
  {
    code: 'allow-everything',
    why: 'an eq of #, which delivers everything',
    warns: [{ topics: [{ eq: '#' }] }],
    path: 'rules[0].topics[0].eq',
    says: /every topic/,
    quiet: [{ topics: [{ eq: 'a/#' }] }, { topics: ['+:svc/#'], require: [{ in: 'scopes', any: ['${topic.svc}'] }] }],
  },
  {
    code: 'implicit-actions',
    why: 'an allow without actions publishes too',
    warns: [{ actions: undefined, topics: ['a'] } as unknown as Partial<RuleDocument>],
    path: 'rules[0]',
    says: /publish as well as subscribe/,
    quiet: [
      { topics: ['a'] },
      { effect: 'deny', actions: undefined, topics: ['b'] } as unknown as Partial<RuleDocument>,
    ],
  },
  {
    code: 'identity-wildcard',
    why: 'a + where another rule keeps the level for a client',
    warns: [{ topics: ['s/${clientId}/#'] }, { topics: ['s/+/cmd'] }],
    path: 'rules[1].topics[0]',
    says: /rules\[0\] "r0" keeps for \$\{clientId\}/,
    quiet: [{ topics: ['s/${clientId}/#'] }, { topics: ['t/+/cmd'] }, { topics: ['s/fixed/x'] }],
  },
  {
    code: 'identity-wildcard',
    why: 'a # above the level',
    warns: [{ topics: ['a/s/${clientId}/x'] }, { topics: ['a/#'] }],
    path: 'rules[1].topics[0]',
    says: /keeps for \$\{clientId\}/,
    quiet: [{ topics: ['a/s/${clientId}/x'] }, { topics: ['b/#'] }],
  },
  {
    code: 'identity-wildcard',
    why: 'an inbox that others publish to, or a rule that says who may, is on purpose',
    warns: [{ topics: ['in/${sub}'] }, { actions: ['receive'], topics: ['in/+'] }],
    path: 'rules[1].topics[0]',
    says: /say in "when" who may/,
    quiet: [
      { topics: ['in/${sub}'] },
      { actions: ['publish'], retain: 'forbid', topics: ['in/+'] },
      { when: { groups: ['admin'] }, topics: ['in/+'] },
      { when: { type: ['service', 'application'] }, topics: ['in/+'] },
      { topics: ['in/+/public'] },
    ],
  },
  {
    code: 'unreachable-rule',
    why: 'a higher tier decides all of it',
    warns: [{ effect: 'deny', priority: 1, topics: ['a/#'] }, { topics: ['a/+/b', 'a/c'] }],
    path: 'rules[1]',
    says: /rules\[0\] "r0" has a higher priority.*above 1/,
    quiet: [{ effect: 'deny', priority: 1, topics: ['a/#'], when: { username: 'u' } }, { topics: ['a/+/b', 'b/c'] }],
  },
  {
    code: 'unreachable-rule',
    why: 'one topic of several is decided above',
    warns: [{ priority: 1, topics: ['a/+'] }, { topics: ['a/b', 'b'] }],
    path: 'rules[1].topics[0]',
    says: /decides all that this topic could/,
    quiet: [{ priority: 1, actions: ['publish'], retain: 'forbid', topics: ['a/+'] }, { topics: ['a/b', 'b'] }],
  },
  {
    code: 'unreachable-rule',
    why: 'connect rules are compared too',
    warns: [
      { effect: 'deny', actions: ['connect'], priority: 1 },
      { actions: ['connect'], when: { username: 'u' } },
    ],
    path: 'rules[1]',
    says: /higher priority/,
    quiet: [
      { effect: 'deny', actions: ['connect'], priority: 1, when: { username: 'v' } },
      { actions: ['connect'], when: { username: 'u' } },
    ],
  },
  {
    code: 'denied-allow',
    why: 'a deny of the same tier takes all of it',
    warns: [{ topics: ['a/b'] }, { effect: 'deny', topics: ['a/+'] }],
    path: 'rules[0]',
    says: /rules\[1\] "r1" refuses all that the rule allows.*above 0/,
    quiet: [{ topics: ['a/#'] }, { effect: 'deny', topics: ['a/+'] }],
  },
  {
    code: 'union-only',
    why: 'several allows together take all of a filter that none takes alone',
    warns: [{ topics: ['a/x', 'a/x/+/#'] }],
    path: 'rules[0].topics[1]',
    says: /a SUBSCRIBE to "a\/x\/#" is refused.*write the topic "a\/x\/#"/,
    quiet: [{ topics: ['a/x/+/#'] }, { topics: ['b', 'b/+/#', 'b/#'] }, { topics: ['c/d', 'c/e'] }],
  },
  {
    code: 'union-only',
    why: 'the topics of a # in three lengths',
    warns: [{ topics: ['a'] }, { topics: ['a/+'] }, { topics: ['a/+/+/#'] }],
    path: 'rules[2].topics[0]',
    says: /"a\/#"/,
    quiet: [{ topics: ['a'] }, { topics: ['a/b'] }, { topics: ['a/+/+/#'] }],
  },
  {
    code: 'share-in-pattern',
    why: 'patterns are compared without the prefix',
    warns: [{ topics: ['$share/g/a'] }],
    path: 'rules[0].topics[0]',
    says: /"shareGroups"/,
    quiet: [{ topics: ['a'], shareGroups: ['g'] }, { topics: ['$shared/a'] }],
  },
  {
    code: 'share-in-pattern',
    why: 'in a regex',
    warns: [{ topics: [{ regex: '\\$share/g/.*' }] }],
    path: 'rules[0].topics[0].regex',
    says: /matches nothing/,
    quiet: [{ topics: [{ regex: '\\$SYS/.*' }] }],
  },
  {
    code: 'leading-slash',
    why: 'an empty first level',
    warns: [{ topics: ['/a/b'] }],
    path: 'rules[0].topics[0]',
    says: /leave the first slash out/,
    quiet: [{ topics: ['a//b'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'a claim that no provider brings',
    options: { provides: ['username', 'claims.email'] },
    warns: [{ topics: ['a/${claims.room}'] }],
    path: 'rules[0].topics[0]',
    says: /no provider brings claims\.room, so that this allows nothing/,
    quiet: [{ topics: ['a/${claims.email}/${username}/${clientId}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'a root stands for all below it, an alias for its path',
    options: { provides: ['claims'] },
    more: { aliases: { mine: 'cert.cn' } },
    warns: [{ topics: ['a/${mine}'] }],
    path: 'rules[0].topics[0]',
    says: /cert\.cn/,
    quiet: [{ topics: ['a/${claims.deep.er}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a requirement',
    options: { provides: ['groups'] },
    warns: [{ topics: ['+:s/a'], require: [{ in: 'scopes', any: ['${topic.s}'] }] }],
    path: 'rules[0].require[0].in',
    says: /no provider brings scopes/,
    quiet: [{ topics: ['+:s/a'], require: [{ in: 'groups', any: ['${topic.s}'] }] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a share group',
    options: { provides: [] },
    warns: [{ topics: ['a'], shareGroups: ['g-${sub}'] }],
    path: 'rules[0].shareGroups[0]',
    says: /no provider brings sub/,
    quiet: [{ topics: ['a'], shareGroups: ['g-${clientId}'] }],
  },
  {
    code: 'unprovided-variable',
    why: 'in a condition that an allow stands on',
    options: { provides: [] },
    warns: [{ topics: ['a'], when: { 'claims.x': 'y' } }],
    path: 'rules[0].when["claims.x"]',
    says: /the rule never applies/,
    quiet: [{ topics: ['a'], when: { anyOf: [{ 'claims.x': 'y' }, { clientId: 'c' }] } }],
  },
  {
    code: 'negation-without-exists',
    why: 'a missing claim is not the one that is refused',
    warns: [{ topics: ['a'], when: { 'claims.x': { not: 'bad' } } }],
    path: 'rules[0].when["claims.x"]',
    says: /"allOf": \[\{"claims\.x": \{"exists": true\}\}\]/,
    quiet: [
      { topics: ['a'], when: { 'claims.x': { not: 'bad' }, allOf: [{ 'claims.x': { exists: true } }] } },
      { topics: ['b'], when: { 'claims.x': { not: { not: 'good' } } } },
      { topics: ['c'], when: { 'claims.x': { exists: false } } },
      { effect: 'deny', topics: ['d'], when: { username: { not: 'u' } } },
      { topics: ['e'], when: { type: ['device'], noneOf: [{ type: 'user' }] } },
    ],
  },
  {
    code: 'negation-without-exists',
    why: 'noneOf over conditions',
    warns: [{ topics: ['a'], when: { noneOf: [{ username: 'root' }] } }],
    path: 'rules[0].when.noneOf[0].username',
    says: /holds for an identity without username too/,
    quiet: [{ topics: ['a'], when: { noneOf: [{ username: { not: 'u' } }] } }],
  },
  {
    code: 'negation-without-exists',
    why: 'noneOf of a set',
    warns: [{ topics: ['a'], when: { groups: { noneOf: ['banned'] } } }],
    path: 'rules[0].when.groups',
    says: /"groups": \{"anyOf"/,
    quiet: [{ topics: ['a'], when: { groups: { anyOf: ['fleet'], noneOf: ['banned'] } } }],
  },
  {
    code: 'negation-without-exists',
    why: 'a presence that is asked for on one side only does not help the other',
    warns: [
      { topics: ['a'], when: { 'claims.x': { not: 'y' }, anyOf: [{ 'claims.x': { exists: true } }, { tls: true }] } },
    ],
    path: 'rules[0].when["claims.x"]',
    says: /without claims\.x/,
    quiet: [{ topics: ['a'], when: { 'claims.x': { not: 'y' }, anyOf: [{ 'claims.x': { exists: true } }] } }],
  },
  {
    code: 'unsure-deny',
    why: 'a deny stands on a claim that may be missing',
    warns: [{ effect: 'deny', topics: ['a'], when: { 'claims.tier': 'free' } }],
    path: 'rules[0].when["claims.tier"]',
    says: /does not refuse an identity without claims\.tier; add a deny rule/,
    quiet: [
      { effect: 'deny', topics: ['a'], when: { 'claims.tier': 'free' } },
      { effect: 'deny', topics: ['a'], when: { 'claims.tier': { exists: false } } },
      { effect: 'deny', topics: ['b'], when: { 'claims.other': { not: 'good' } } },
      { effect: 'deny', topics: ['c'], when: { username: 'u' } },
    ],
  },
  {
    code: 'unsure-deny',
    why: 'groups, where no provider brings them',
    options: { provides: [] },
    warns: [{ effect: 'deny', topics: ['a'], when: { groups: ['banned'] } }],
    path: 'rules[0].when.groups',
    says: /without groups; put the condition on the allow rules/,
    quiet: [{ effect: 'deny', topics: ['a'], when: { clientId: 'c', ip: ['10.0.0.0/8'] } }],
  },
  {
    code: 'regex-unescaped-dot',
    why: 'a dot that stands for any character',
    warns: [{ topics: [{ regex: 'api/v1.2/[^/]+' }] }],
    path: 'rules[0].topics[0].regex',
    says: /write `\\\.` for a dot/,
    quiet: [
      { topics: [{ regex: 'api/v1\\.2/.*' }] },
      { topics: [{ regex: '\\Qv1.2\\E/[.a]/.+/a.{2}/a.?' }] },
      { topics: [{ regex: 'x/${claims.a.b}/y' }] },
    ],
  },
  {
    code: 'regex-unescaped-dot',
    why: 'in a condition',
    warns: [{ topics: ['a'], when: { username: { regex: '.*@acme.example' } } }],
    path: 'rules[0].when.username',
    says: /any character/,
    quiet: [{ topics: ['a'], when: { username: { regex: '.*@acme\\.example' } } }],
  },
  {
    code: 'retain-on-wildcard',
    why: 'whoever may publish anywhere may leave messages there',
    warns: [{ actions: ['publish'], topics: ['a', 'a/+'] }],
    path: 'rules[0].topics[1]',
    says: /"retain": "forbid"/,
    quiet: [
      { actions: ['publish'], topics: ['a/b'] },
      { actions: ['publish'], topics: ['b/+'], retain: 'any' },
      { actions: ['publish'], topics: ['c/+'], retain: 'strip' },
      { actions: ['publish'], topics: [{ regex: 'd/e' }] },
      { actions: ['subscribe'], topics: ['f/+'] },
    ],
  },
  {
    code: 'unfiltered-surface',
    why: 'overlap: filter where no delivery is checked',
    options: { delivery: false },
    warns: [{ topics: ['a/#'] }, { effect: 'deny', overlap: 'filter', topics: ['a/b'] }],
    path: 'rules[1].overlap',
    says: /checks no deliveries/,
    quiet: [{ topics: ['a/#'] }, { effect: 'deny', overlap: 'refuse', topics: ['a/b'] }],
  },
]

describe('each code: one document that warns, with a place and what to write instead, and one that does not', () => {
  for (const { code, why, warns, path, says, quiet, options, more } of cases) {
    test(`${code}: ${why}`, () => {
      const found = lintPolicy(policyOf(documentOf(warns, more)), options)
      const [warning, ...others] = found.filter((one) => one.code === code)
      assert.ok(warning, `expected ${code}, found ${JSON.stringify(found)}`)
      assert.deepEqual([warning.path, others.map((one) => one.path)], [path, []])
      assert.match(warning.message, says)
      const still = lintPolicy(policyOf(documentOf(quiet, more)), options).filter((one) => one.code === code)
      assert.deepEqual(still, [])
    })
  }

  test('unfiltered-surface: subscribe: filtered, unless the surface is known to check or not known at all', () => {
    const policy = policyOf(documentOf([{ topics: ['a'] }], { options: { subscribe: 'filtered' } }))
    assert.deepEqual(
      lintPolicy(policy, { delivery: false }).map(({ code, path }) => [code, path]),
      [['unfiltered-surface', 'options.subscribe']],
    )
    assert.deepEqual([...lintPolicy(policy, { delivery: true }), ...lintPolicy(policy)], [])
  })

  test('every code has a case', () => {
    const named = new Set<string>([...cases.map(({ code }) => code), 'lint-incomplete'])
    assert.deepEqual(
      lintCodes.filter((code) => !named.has(code)),
      [],
    )
  })
})

test('a document without a doubtful place has no warnings', () => {
  const policy = policyOf(
    documentOf([
      { actions: ['publish'], retain: 'forbid', topics: ['sensors/${clientId}/#'] },
      { actions: ['subscribe', 'receive'], topics: ['commands/${clientId}/#'], when: { type: 'device' } },
    ]),
  )
  assert.deepEqual(lintPolicy(policy), [])
})

test('rules that are switched off are not looked at', () => {
  assert.deepEqual(lintPolicy(policyOf(documentOf([{ enabled: false, topics: ['#', '/a', '$share/g/a'] }]))), [])
})

test('warnings come in the order of the document, and of many alike only the number is told', () => {
  const rules = Array.from({ length: 1_000 }, (_, i) => ({ topics: [`/a/${i}`, { regex: 'a.b' }] }))
  const found = lintPolicy(policyOf(documentOf(rules)))
  const slashes = found.filter(({ code }) => code === 'leading-slash')
  assert.deepEqual(
    [slashes.length, slashes[0]?.path, slashes[19]?.path],
    [21, 'rules[0].topics[0]', 'rules[19].topics[0]'],
  )
  assert.match(slashes[20]?.message ?? '', /^980 more of this kind/)
  assert.deepEqual(
    found.slice(0, 3).map(({ path }) => path),
    ['rules[0].topics[0]', 'rules[0].topics[1].regex', 'rules[1].topics[0]'],
  )
})

/** Milliseconds of this process, which the load of the machine does not change as it does the time of the clock. */
function cpuMs(run: () => void): number {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

describe('large documents', () => {
  const workloads: Record<string, { count: number; rule: (i: number) => Partial<RuleDocument> }> = {
    'with patterns of their own': { count: 100_000, rule: (i) => ({ topics: [`a/${i % 100}/b${i}/#`] }) },
    'in one tier each': {
      count: 20_000,
      rule: (i) => ({ effect: i % 2 ? 'allow' : 'deny', priority: i, topics: [`a/${i % 1000}/+/#`] }),
    },
    'with one pattern and conditions of their own': {
      count: 20_000,
      rule: (i) => ({ when: { username: `u${i}` }, topics: ['a/#'] }),
    },
  }
  for (const [name, { count, rule }] of Object.entries(workloads)) {
    test(`${count} rules ${name} are all compared, in seconds`, () => {
      const policy = policyOf(documentOf(Array.from({ length: count }, (_, i) => rule(i))))
      let found: ReturnType<typeof lintPolicy> = []
      const ms = cpuMs(() => (found = lintPolicy(policy)))
      assert.ok(ms < 10_000, `${ms} ms`)
      assert.ok(!found.some(({ code }) => code === 'lint-incomplete'))
    })
  }

  test('patterns that cover each other in every way are not compared to the end, which is said', () => {
    const levels = (i: number) => Array.from({ length: 15 }, (_, bit) => ((i >> bit) & 1 ? '+' : 'a')).join('/')
    const policy = policyOf(documentOf(Array.from({ length: 2 ** 15 }, (_, i) => ({ topics: [levels(i)] }))))
    let found: ReturnType<typeof lintPolicy> = []
    const ms = cpuMs(() => (found = lintPolicy(policy)))
    assert.ok(ms < 20_000, `${ms} ms`)
    assert.equal(found.filter(({ code }) => code === 'lint-incomplete').length, 1)
  })
})

/** The document without what a warning calls unreachable. */
function without({ rules, ...document }: PolicyDocument, path: string): PolicyDocument {
  const [, rule, topic] = /^rules\[(\d+)\](?:\.topics\[(\d+)\].*)?$/.exec(path) ?? []
  const kept = rules.flatMap((one, i) => {
    if (String(i) !== rule) return [one]
    if (topic === undefined) return []
    return [{ ...one, topics: one.topics?.filter((_, j) => String(j) !== topic) ?? [] }]
  })
  return { ...document, rules: kept }
}

test('what is told to be unreachable can be taken out of a document without changing a decision', () => {
  const tally = new Tally()
  const property = fc.property(
    fc.record({
      document: documentArbitrary,
      identities: fc.array(identityArbitrary, { minLength: 2, maxLength: 3 }),
      requests: fc.array(requestArbitrary, { minLength: 20, maxLength: 30 }),
    }),
    ({ document, identities, requests }) => {
      const found = lintPolicy(policyOf(document)).filter(
        ({ code }) => code === 'unreachable-rule' || code === 'denied-allow',
      )
      const isFiltered = document.options?.subscribe === 'filtered'
      for (const { code, path } of found) {
        const [whole, rest] = [compileDocument(document), compileDocument(without(document, path))]
        for (const identity of identities) {
          const sessions = [createSession(whole, identity), createSession(rest, identity)]
          for (const request of requests.map((requestFor) => requestFor(document))) {
            // An allow whose names are all refused still lets a filter overlap it, though nothing is delivered.
            if (isFiltered && request.action === 'subscribe') continue
            const [wanted, actual] = sessions.map((session) => session.decide(request))
            assert.deepEqual(actual, wanted, JSON.stringify({ code, path, identity, request }))
            tally.add(`${code} ${request.action} ${wanted?.decision}`)
          }
        }
      }
    },
  )
  fc.assert(property, { seed: propertySeed(), numRuns: 1_200 })
  tally.assertReached({
    'unreachable-rule publish allow': 100,
    'unreachable-rule publish deny': 100,
    'unreachable-rule subscribe allow': 50,
    'unreachable-rule subscribe deny': 100,
    'unreachable-rule receive allow': 20,
    'denied-allow publish deny': 20,
    'denied-allow subscribe deny': 20,
  })
})

test('a filter that is told to be shared out among rules is refused, while each of its names is allowed', () => {
  const levels = ['a', 'b', '+']
  const topic = fc.array(fc.constantFrom(...levels), { minLength: 1, maxLength: 3 }).map((some) => some.join('/'))
  const open = fc.tuple(topic, fc.boolean()).map(([text, isOpen]) => (isOpen ? `${text}/#` : text))
  let told = 0
  const property = fc.property(fc.array(open, { minLength: 2, maxLength: 8 }), (topics) => {
    const document = documentOf(topics.map((one) => ({ topics: [one] })))
    const session = createSession(compileDocument(document), {})
    for (const { code, message } of lintPolicy(policyOf(document))) {
      if (code !== 'union-only') continue
      told++
      const filter = /SUBSCRIBE to "([^"]*)"/.exec(message)?.[1] ?? ''
      assert.equal(session.decide({ action: 'subscribe', topic: filter }).decision, 'deny', filter)
      const fixed = filter.replaceAll('+', 'x').split('/').slice(0, -1)
      for (let more = fixed.length === 0 ? 1 : 0; more < 6; more++) {
        const name = [...fixed, ...Array<string>(more).fill('y')].join('/')
        assert.equal(session.decide({ action: 'receive', topic: name }).decision, 'allow', `${name} of ${filter}`)
      }
    }
  })
  fc.assert(property, { seed: propertySeed(), numRuns: 3_000 })
  assert.ok(told > 100, `only ${told}`)
})
