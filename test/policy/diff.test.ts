import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { AccessRequest } from '#src/policy/access.ts'
import { decide } from '#src/policy/decide.ts'
import { type DiffOptions, diffPolicies, type PolicyDiff } from '#src/policy/diff.ts'
import type { PolicyDocument, RuleDocument } from '#src/policy/document.ts'
import { patience } from '#test/support/patience.ts'
import { documentArbitrary } from './properties/arbitrary/document.ts'
import { identityArbitrary } from './properties/arbitrary/identity.ts'
import { requestArbitrary } from './properties/arbitrary/request.ts'
import { compileDocument } from './properties/compile-document.ts'
import { propertySeed } from './properties/seed.ts'

type Rules = readonly (Partial<RuleDocument> & object)[]
type More = Partial<PolicyDocument>

function documentOf(rules: Rules, more: More = {}): PolicyDocument {
  const whole = rules.map((rule, i) => ({ id: `r${i}`, effect: 'allow', ...rule }))
  return { schema: 'mqtt-policy/1', id: 'p', ...more, rules: whole as unknown as RuleDocument[] }
}

function diffOf(before: PolicyDocument, after: PolicyDocument, options?: DiffOptions): PolicyDiff {
  return diffPolicies(compileDocument(before), compileDocument(after), options)
}

/** Every change that is told, as text: `looser publish a/b`. */
function told({ looser, stricter, changed }: PolicyDiff): string[] {
  return Object.entries({ looser, stricter, changed }).flatMap(([kind, group]) =>
    group.changes.map(({ request }) => `${kind} ${request.action} ${request.topic}`.trim()),
  )
}

const all: Rules = [{ topics: ['a/#'] }]

interface Case {
  why: string
  before: [Rules, More?]
  after: [Rules, More?]
  tells: string
  options?: DiffOptions
}

const cases: readonly Case[] = [
  { why: 'a rule more', before: [[]], after: [[{ topics: ['a/b'] }]], tells: 'looser publish a/b' },
  { why: 'a rule less', before: [[{ topics: ['a/b'] }]], after: [[]], tells: 'stricter receive a/b' },
  {
    why: 'a deny that meets an allow in names that neither spells',
    before: [[{ topics: ['a/+/c'] }]],
    after: [[{ topics: ['a/+/c'] }, { effect: 'deny', topics: ['a/b/+'] }]],
    tells: 'stricter publish a/b/c',
  },
  {
    why: 'a deny inside an allow, which a wider filter overlaps now',
    before: [all],
    after: [[...all, { effect: 'deny', actions: ['subscribe'], topics: ['a/b'] }]],
    tells: 'stricter subscribe a/+',
  },
  {
    why: 'another group in a condition',
    before: [[{ topics: ['a'], when: { groups: ['x'] } }]],
    after: [[{ topics: ['a'], when: { groups: ['x', 'y'] } }]],
    tells: 'looser publish a',
  },
  {
    why: 'one value less of a claim, under an alias',
    before: [[{ topics: ['a'], when: { site: { in: ['x', 'y'] } } }], { aliases: { site: 'claims.site' } }],
    after: [[{ topics: ['a'], when: { site: { in: ['x'] } } }], { aliases: { site: 'claims.site' } }],
    tells: 'stricter publish a',
  },
  {
    why: 'nested conditions, globs and regexes',
    before: [[{ topics: ['a'], when: { anyOf: [{ username: { glob: 'op-*' } }, { sub: { regex: 's[0-9]+' } }] } }]],
    after: [[{ topics: ['a'], when: { sub: { regex: 's[0-9]+' } } }]],
    tells: 'stricter publish a',
  },
  {
    why: 'a network',
    before: [[{ topics: ['a'], when: { ip: ['10.0.0.0/8'], tls: true, type: ['device'] } }]],
    after: [[{ topics: ['a'], when: { ip: ['10.0.0.0/8', '192.168.0.0/16'], tls: true, type: ['device'] } }]],
    tells: 'looser publish a',
  },
  {
    why: 'a variable in place of a wildcard',
    before: [[{ topics: ['s/+/t'] }]],
    after: [[{ topics: ['s/${clientId}/t'] }]],
    tells: 'stricter subscribe s/+/t',
  },
  {
    why: 'a list of a claim',
    before: [[{ topics: ['room/${claims.rooms[]}'] }]],
    after: [[{ topics: ['room/${claims.rooms[]}/#'] }]],
    tells: 'looser publish room/rooms-2/any-1',
  },
  { why: 'the default', before: [[]], after: [[], { default: 'allow' }], tells: 'looser publish any-1/any-1' },
  {
    why: 'the default of one action',
    before: [[]],
    after: [[], { default: { connect: 'deny' } }],
    tells: 'stricter connect',
  },
  {
    why: 'a limit of the QoS',
    before: [all],
    after: [[{ topics: ['a/#'], maxQos: 0, qosMode: 'cap' }]],
    tells: 'stricter publish a',
  },
  {
    why: 'the retain flag',
    before: [all],
    after: [[{ topics: ['a/#'], retain: 'strip' }]],
    tells: 'stricter publish a',
  },
  { why: 'the Will', before: [all], after: [[{ topics: ['a/#'], will: false }]], tells: 'stricter will a' },
  {
    why: 'share groups',
    before: [[{ topics: ['a'], shareGroups: ['g'] }]],
    after: [[{ topics: ['a'], shareGroups: ['h'] }]],
    tells: 'looser subscribe $share/h/a',
  },
  {
    why: 'the unsubscribing',
    before: [all],
    after: [[...all, { effect: 'deny', actions: ['unsubscribe'], topics: ['a/b'] }]],
    tells: 'stricter unsubscribe a/b',
  },
  {
    why: 'an eq',
    before: [[{ topics: ['#'] }]],
    after: [[{ topics: ['#'] }, { effect: 'deny', topics: [{ eq: 'a/+' }] }]],
    tells: 'stricter subscribe a/+',
  },
  {
    why: 'a regex',
    before: [[{ topics: [{ regex: 'v1/[a-c]+/x' }] }]],
    after: [[{ topics: [{ regex: 'v1/[b-c]+/x' }] }]],
    tells: 'stricter publish v1/a/x',
  },
  {
    why: 'a requirement',
    before: [[{ topics: ['svc/+:s'], require: [{ in: 'scopes', any: ['${topic.s}.read'] }] }]],
    after: [[{ topics: ['svc/+:s'], require: [{ in: 'scopes', any: ['${topic.s}.admin'] }] }]],
    options: { identities: [{ name: 'reader', identity: { scopes: ['hub.read'] } }] },
    tells: 'stricter subscribe svc/hub',
  },
  {
    why: '$ topics',
    before: [[{ topics: ['#'] }]],
    after: [[{ topics: [{ filter: '#', dollar: true }] }]],
    tells: 'looser publish $SYS/any-1',
  },
  {
    why: 'the number of levels',
    before: [all],
    after: [all, { options: { maxTopicLevels: 2 } }],
    tells: 'stricter receive a/any-1/any-1',
  },
  {
    why: 'control characters',
    before: [[{ topics: ['+/+'] }]],
    after: [[{ topics: ['+/+'] }], { options: { rejectControlChars: false } }],
    tells: 'looser publish a/\u0001',
  },
  {
    why: 'filtered subscriptions',
    before: [all],
    after: [all, { options: { subscribe: 'filtered' } }],
    tells: 'looser subscribe #',
  },
  {
    why: 'another rule with the same effect',
    before: [[{ id: 'x', topics: ['a'] }]],
    after: [[{ id: 'y', topics: ['a'] }]],
    tells: 'changed publish a',
  },
  {
    why: 'priorities',
    before: [[{ topics: ['a/#'] }, { effect: 'deny', topics: ['a/b'] }]],
    after: [
      [
        { topics: ['a/#'], priority: 1 },
        { effect: 'deny', topics: ['a/b'] },
      ],
    ],
    tells: 'looser publish a/b',
  },
  {
    why: 'what a test of the document asks',
    before: [all, { tests: [{ as: { clientId: 'c' }, do: 'publish', topic: 'a/deep/in/it', expect: 'allow' }] }],
    after: [[{ topics: ['a/+', 'a'] }]],
    tells: 'stricter publish a/deep/in/it',
  },
]

describe('what differs is told', () => {
  for (const { why, before, after, tells, options } of cases) {
    test(why, () => {
      const diff = diffOf(documentOf(...before), documentOf(...after), options)
      const every = new Set(told(diff))
      assert.ok(every.has(tells), `${tells} is not among ${[...every].join(', ')}`)
      assert.equal(diff.isComplete, true)
    })
  }
})

describe('what decides the same is not', () => {
  const rule = { id: 'a', effect: 'allow', topics: ['a/+', 'b/#'], when: { groups: ['x'] } } as const
  const other = { id: 'b', effect: 'deny', topics: ['a/c'] } as const
  const same: readonly [why: string, before: PolicyDocument, after: PolicyDocument][] = [
    ['the order of rules', documentOf([rule, other]), documentOf([other, rule])],
    ['descriptions and revisions', documentOf([rule]), documentOf([{ ...rule, description: 'd' }], { revision: 2 })],
    [
      'defaults that are spelt out',
      documentOf([rule]),
      documentOf([{ ...rule, priority: 0, retain: 'any', maxQos: 2 }]),
    ],
    ['a rule that is switched off', documentOf([rule]), documentOf([rule, { ...other, enabled: false }])],
  ]
  for (const [why, before, after] of same) {
    test(why, () => {
      const { looser, stricter, changed, compared } = diffOf(before, after)
      assert.deepEqual([looser.total, stricter.total, changed.total], [0, 0, 0])
      assert.ok(compared > 20)
    })
  }
})

test('a change names who asked, what, and both decisions', () => {
  const identities = [{ name: 'line 4', identity: { clientId: 'd1', groups: ['x'] } }]
  const before = documentOf([{ topics: ['s/${clientId}'], actions: ['publish'], when: { groups: ['x'] } }])
  const { stricter } = diffOf(before, documentOf([]), { identities })
  assert.deepEqual(stricter.changes[0], {
    who: 'line 4',
    identity: { clientId: 'd1', groups: ['x'] },
    request: { action: 'publish', topic: 's/d1', qos: 1, retain: false },
    before: { decision: 'allow', reason: 'rule', rule: 'r0', qos: 1, retain: false },
    after: { decision: 'deny', reason: 'default', rule: null, qos: null, retain: null },
  })
})

test('where no delivery is checked, what is granted as filtered is not', () => {
  const before = documentOf(all)
  const after = documentOf(all, { options: { subscribe: 'filtered' } })
  assert.equal(diffOf(before, after, { delivery: false }).looser.total, 0)
})

test('of many changes that are alike a few are told, and the number of all', () => {
  const before = documentOf(Array.from({ length: 300 }, (_, i) => ({ topics: [`a/${i}`] })))
  const { stricter, looser } = diffOf(before, documentOf([]))
  assert.ok(stricter.total > 1_000, String(stricter.total))
  assert.equal(stricter.changes.length, 50)
  assert.equal(looser.total, 0)
  const { stricter: alike } = diffOf(documentOf([{ topics: ['a/#', 'b/#', 'c/#', 'd/#'] }]), documentOf([]))
  const actions = alike.changes.map(({ request }) => request.action)
  assert.equal(actions.filter((action) => action === 'publish').length, 3)
})

test('20,000 rules are compared in seconds, those that differ first', () => {
  const rules = Array.from({ length: 20_000 }, (_, i) => ({
    topics: [`a/${i % 100}/b${i}/#`],
    when: { username: `u${i}` },
  }))
  const before = documentOf(rules)
  const after = documentOf(rules.map((rule, i) => (i === 17_000 ? { ...rule, topics: ['b/c'] } : rule)))
  const [old, changed] = [compileDocument(before), compileDocument(after)]
  const start = process.cpuUsage().user
  const { looser, stricter } = diffPolicies(old, changed)
  const ms = (process.cpuUsage().user - start) / 1000
  assert.ok(ms < patience(20_000), `${ms} ms`)
  assert.equal(looser.changes[0]?.request.topic, 'b/c')
  assert.match(looser.changes[0]?.who ?? '', /"r17000"/)
  assert.ok(stricter.total > 0)
})

/** A document with one thing changed. */
const mutation = fc.record({
  at: fc.nat(),
  how: fc.constantFrom('remove', 'effect', 'priority', 'topics', 'when', 'default'),
})

function mutate(document: PolicyDocument, { at, how }: { at: number; how: string }): PolicyDocument {
  const { rules } = document
  if (how === 'default') return { ...document, default: document.default === 'allow' ? 'deny' : 'allow' }
  const chosen = at % rules.length
  const changed = rules.flatMap((rule, i): RuleDocument[] => {
    if (i !== chosen) return [rule]
    if (how === 'remove') return []
    if (how === 'priority') return [{ ...rule, priority: (rule.priority ?? 0) + 3 }]
    if (how === 'topics' && rule.topics)
      return [{ ...rule, topics: rule.topics.slice(1).length > 0 ? rule.topics.slice(1) : ['b/a'] }]
    const { when: _, ...always } = rule
    if (how === 'when') return [always as RuleDocument]
    const { id, topics, actions, require } = rule
    const bare = { id, ...(topics && { topics }), ...(actions && { actions }), ...(require && { require }) }
    return [
      {
        ...bare,
        effect: rule.effect === 'allow' && !JSON.stringify(topics ?? []).includes('|path') ? 'deny' : 'allow',
      },
    ]
  })
  return { ...document, rules: changed }
}

test('what is told is true, and of changes that random requests meet hardly one goes untold', () => {
  const tally = { verified: 0, met: 0, missed: 0 }
  const property = fc.property(
    documentArbitrary,
    mutation,
    fc.array(identityArbitrary, { minLength: 2, maxLength: 3 }),
    fc.array(requestArbitrary, { minLength: 20, maxLength: 30 }),
    (document, change, identities, requests) => {
      const mutated = mutate(document, change)
      if (change.how === 'topics' && mutated.rules.some(({ require }) => require)) return // may lack a capture then
      const [before, after] = [compileDocument(document), compileDocument(mutated)]
      const given = identities.map((identity, i) => ({ name: `given ${i}`, identity }))
      const diff = diffPolicies(before, after, { identities: given })
      for (const group of [diff.looser, diff.stricter, diff.changed]) {
        for (const { identity, request, before: old, after: now } of group.changes) {
          assert.deepEqual([decide(before, identity, request), decide(after, identity, request)], [old, now])
          assert.notDeepEqual(old, now)
          tally.verified++
        }
      }
      const asked = requests.map((requestFor): AccessRequest => requestFor(document))
      const differs = identities.some((identity) =>
        asked.some((one) => decide(before, identity, one).decision !== decide(after, identity, one).decision),
      )
      if (!differs) return
      tally.met++
      if (diff.looser.total + diff.stricter.total === 0) tally.missed++
    },
  )
  fc.assert(property, { seed: propertySeed(), numRuns: 500 })
  assert.ok(tally.verified > 1_000 && tally.met > 60, JSON.stringify(tally))
  assert.ok(tally.missed <= tally.met * 0.05, JSON.stringify(tally))
})
