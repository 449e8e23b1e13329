import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePolicy, parsePolicyInSlices } from '#src/policy/parse-policy.ts'

const allowRule = { id: 'r', effect: 'allow', topics: ['a'] }
const denyRule = { id: 'r', effect: 'deny', topics: ['a'] }

function documentWith(...rules: unknown[]): Record<string, unknown> {
  return { schema: 'mqtt-policy/1', id: 'p', rules }
}

function problemsOf(document: unknown): string[] {
  return parsePolicy(document).problems.map(({ path, message }) => `${path}: ${message}`)
}

test('the smallest document is accepted, and its defaults are those of the specification', () => {
  const { policy } = parsePolicy(documentWith())
  assert.ok(policy)
  assert.deepEqual(policy.defaults, { publish: 'deny', subscribe: 'deny', connect: 'allow', unsubscribe: 'allow' })
  assert.deepEqual(policy.options, {
    subscribe: 'strict',
    receive: 'derive',
    maxTopicBytes: 65_535,
    maxTopicLevels: 128,
    rejectControlChars: true,
  })
})

test('the example of the specification is accepted whole', () => {
  const { problems } = parsePolicy({
    schema: 'mqtt-policy/1',
    id: 'acme-prod',
    revision: 12,
    description: 'x',
    default: 'deny',
    options: {
      subscribe: 'strict',
      receive: 'derive',
      maxTopicBytes: 65535,
      maxTopicLevels: 128,
      rejectControlChars: true,
    },
    aliases: { email: 'claims.email', user_id: 'sub', agent_id: 'claims.agent_id' },
    rules: [
      {
        id: 'own-telemetry',
        description: '…',
        enabled: true,
        effect: 'allow',
        priority: 0,
        when: { type: ['device'], tls: true, groups: { anyOf: ['fleet-a'] } },
        actions: ['publish', 'subscribe', 'receive'],
        topics: ['sensors/${clientId}/#', { regex: 'my/.*' }],
        qos: [0, 1],
        maxQos: 1,
        qosMode: 'deny',
        retain: 'forbid',
        shared: 'any',
        will: true,
        'x-owner': { team: 'anything' },
      },
      {
        id: 'by-scope',
        effect: 'allow',
        actions: ['subscribe', 'receive'],
        topics: ['svc/+:svc/#'],
        require: [{ in: 'scopes', any: ['${topic.svc}.read'] }],
        shareGroups: ['workers'],
      },
      { id: 'no-firehose', effect: 'deny', actions: ['subscribe'], topics: [{ eq: '#' }], overlap: 'refuse' },
    ],
    tests: [{ as: { clientId: 'd1' }, do: 'publish', topic: 'sensors/d1/t', expect: 'allow' }],
  })
  assert.deepEqual(problems, [])
})

const refused: readonly { why: string; document: unknown; path: string; words: RegExp }[] = [
  { why: 'no object', document: [], path: '', words: /is an object, this is a list/ },
  { why: 'null', document: null, path: '', words: /null/ },
  {
    why: 'another schema',
    document: { ...documentWith(), schema: 'mqtt-policy/2' },
    path: 'schema',
    words: /mqtt-policy\/1/,
  },
  { why: 'no id', document: { schema: 'mqtt-policy/1', rules: [] }, path: 'id', words: /required/ },
  { why: 'no rules', document: { schema: 'mqtt-policy/1', id: 'p' }, path: 'rules', words: /required/ },
  { why: 'unknown member', document: { ...documentWith(), ruels: [] }, path: 'ruels', words: /did you mean rules/ },
  {
    why: 'unknown default',
    document: { ...documentWith(), default: 'ALLOW' },
    path: 'default',
    words: /"allow" or "deny"/,
  },
  {
    why: 'a default for receive',
    document: { ...documentWith(), default: { receive: 'deny' } },
    path: 'default.receive',
    words: /unknown/,
  },
  {
    why: 'unknown option',
    document: { ...documentWith(), options: { recieve: 'derive' } },
    path: 'options.recieve',
    words: /did you mean receive/,
  },
  {
    why: 'alias of an identity member',
    document: { ...documentWith(), aliases: { clientId: 'sub' } },
    path: 'aliases.clientId',
    words: /member of the identity/,
  },
  {
    why: 'alias to nothing',
    document: { ...documentWith(), aliases: { e: 'nowhere.x' } },
    path: 'aliases.e',
    words: /no identity has "nowhere"/,
  },
  { why: 'rule is a text', document: documentWith('x'), path: 'rules[0]', words: /must be an object/ },
  { why: 'no effect', document: documentWith({ id: 'r', topics: ['a'] }), path: 'rules[0].effect', words: /required/ },
  {
    why: 'unknown effect',
    document: documentWith({ ...allowRule, effect: 'ALLOW' }),
    path: 'rules[0].effect',
    words: /"allow" or "deny"/,
  },
  {
    why: 'no topics',
    document: documentWith({ id: 'r', effect: 'allow' }),
    path: 'rules[0].topics',
    words: /required/,
  },
  {
    why: 'empty topics',
    document: documentWith({ ...allowRule, topics: [] }),
    path: 'rules[0].topics',
    words: /names no topic/,
  },
  {
    why: 'empty actions',
    document: documentWith({ ...allowRule, actions: [] }),
    path: 'rules[0].actions',
    words: /names no action/,
  },
  {
    why: 'unknown action',
    document: documentWith({ ...allowRule, actions: ['read'] }),
    path: 'rules[0].actions[0]',
    words: /must be one of/,
  },
  { why: 'twin ids', document: documentWith(allowRule, allowRule), path: 'rules[1].id', words: /rules\[0\]/ },
  {
    why: 'priority 1.5',
    document: documentWith({ ...allowRule, priority: 1.5 }),
    path: 'rules[0].priority',
    words: /whole number/,
  },
  { why: 'qos 3', document: documentWith({ ...allowRule, qos: [3] }), path: 'rules[0].qos[0]', words: /0, 1 or 2/ },
  {
    why: 'maxQos on a deny',
    document: documentWith({ ...denyRule, maxQos: 1 }),
    path: 'rules[0].maxQos',
    words: /allow rules/,
  },
  {
    why: 'strip on a deny',
    document: documentWith({ ...denyRule, actions: ['publish'], retain: 'strip' }),
    path: 'rules[0].retain',
    words: /allow rules/,
  },
  {
    why: 'qos on a deny of subscribe',
    document: documentWith({ ...denyRule, qos: [1] }),
    path: 'rules[0].qos',
    words: /actions: \["publish"\]/,
  },
  {
    why: 'will on a deny of subscribe',
    document: documentWith({ ...denyRule, will: false }),
    path: 'rules[0].will',
    words: /publish/,
  },
  {
    why: '|path on a deny',
    document: documentWith({ ...denyRule, topics: ['${claims.p|path}/#'] }),
    path: 'rules[0].topics[0]',
    words: /\|path belongs to allow/,
  },
  {
    why: 'overlap on an allow',
    document: documentWith({ ...allowRule, overlap: 'filter' }),
    path: 'rules[0].overlap',
    words: /deny rules/,
  },
  {
    why: 'qosMode alone',
    document: documentWith({ ...allowRule, qosMode: 'cap' }),
    path: 'rules[0].qosMode',
    words: /needs maxQos/,
  },
  {
    why: 'shared without subscribe',
    document: documentWith({ ...allowRule, actions: ['publish'], shared: 'forbid' }),
    path: 'rules[0].shared',
    words: /subscribe/,
  },
  {
    why: 'shareGroups without subscribe',
    document: documentWith({ ...allowRule, actions: ['receive'], shareGroups: ['g'] }),
    path: 'rules[0].shareGroups',
    words: /subscribe/,
  },
  {
    why: 'connect with another action',
    document: documentWith({ id: 'r', effect: 'deny', actions: ['connect', 'publish'] }),
    path: 'rules[0].actions',
    words: /alone/,
  },
  {
    why: 'connect with topics',
    document: documentWith({ ...denyRule, actions: ['connect'] }),
    path: 'rules[0].topics',
    words: /no topic/,
  },
  {
    why: 'require beside a regex',
    document: documentWith({ ...allowRule, topics: [{ regex: 'a/.*' }], require: [{ in: 'scopes', any: ['x'] }] }),
    path: 'rules[0].require',
    words: /regex/,
  },
  {
    why: 'require of a capture that one pattern lacks',
    document: documentWith({
      ...allowRule,
      topics: ['a/+:s', 'b/+'],
      require: [{ in: 'scopes', any: ['${topic.s}.r'] }],
    }),
    path: 'rules[0].require',
    words: /"b\/\+" does not bind \$\{topic\.s\}/,
  },
  {
    why: 'require with an identity variable',
    document: documentWith({ ...allowRule, topics: ['a/+:s'], require: [{ in: 'scopes', any: ['${sub}'] }] }),
    path: 'rules[0].require[0].any[0]',
    words: /\$\{topic\.name\} only/,
  },
  {
    why: 'two []',
    document: documentWith({ ...allowRule, topics: ['${claims.a[]}/${claims.b[]}'] }),
    path: 'rules[0].topics[0]',
    words: /at most one \[\]/,
  },
  {
    why: 'unknown modifier',
    document: documentWith({ ...allowRule, topics: ['${claims.a|lower}'] }),
    path: 'rules[0].topics[0]',
    words: /no modifier/,
  },
  {
    why: 'unknown variable',
    document: documentWith({ ...allowRule, topics: ['${clientid}/#'] }),
    path: 'rules[0].topics[0]',
    words: /write clientId/,
  },
  {
    why: 'variable without end',
    document: documentWith({ ...allowRule, topics: ['a/${sub'] }),
    path: 'rules[0].topics[0]',
    words: /without.*character 3/,
  },
  {
    why: 'wildcard inside a level',
    document: documentWith({ ...allowRule, topics: ['a/b+'] }),
    path: 'rules[0].topics[0]',
    words: /whole level/,
  },
  {
    why: 'wildcard beside a variable',
    document: documentWith({ ...allowRule, topics: ['a/+${sub}'] }),
    path: 'rules[0].topics[0]',
    words: /whole level/,
  },
  {
    why: '# before the end',
    document: documentWith({ ...allowRule, topics: ['a/#/b'] }),
    path: 'rules[0].topics[0]',
    words: /last level/,
  },
  {
    why: 'a capture twice',
    document: documentWith({ ...allowRule, topics: ['+:a/+:a'] }),
    path: 'rules[0].topics[0]',
    words: /twice/,
  },
  {
    why: 'two kinds of matcher',
    document: documentWith({ ...allowRule, topics: [{ filter: 'a', eq: 'a' }] }),
    path: 'rules[0].topics[0]',
    words: /exactly one/,
  },
  {
    why: 'dollar on eq',
    document: documentWith({ ...allowRule, topics: [{ eq: 'a', dollar: true }] }),
    path: 'rules[0].topics[0].dollar',
    words: /unknown/,
  },
  {
    why: 'a look-ahead',
    document: documentWith({ ...allowRule, topics: [{ regex: '(?=a)b' }] }),
    path: 'rules[0].topics[0].regex',
    words: /character/,
  },
  {
    why: 'a back-reference',
    document: documentWith({ ...allowRule, topics: [{ regex: '(a)\\1' }] }),
    path: 'rules[0].topics[0].regex',
    words: /character 4/,
  },
  {
    why: 'share conditions beside overlap: filter',
    document: documentWith({ ...allowRule, shared: 'forbid' }, { ...denyRule, id: 'd', overlap: 'filter' }),
    path: 'rules[0].shared',
    words: /do not go together/,
  },
  {
    why: 'share conditions beside subscribe: filtered',
    document: { ...documentWith({ ...allowRule, shareGroups: ['g'] }), options: { subscribe: 'filtered' } },
    path: 'rules[0].shareGroups',
    words: /do not go together/,
  },
  {
    why: 'two variables in a group',
    document: documentWith({ ...allowRule, shareGroups: ['${sub}-${org}'] }),
    path: 'rules[0].shareGroups[0]',
    words: /one variable/,
  },
  {
    why: 'wildcard in a group',
    document: documentWith({ ...allowRule, shareGroups: ['g+'] }),
    path: 'rules[0].shareGroups[0]',
    words: /\+/,
  },
  {
    why: 'unknown condition',
    document: documentWith({ ...allowRule, when: { user: 'x' } }),
    path: 'rules[0].when.user',
    words: /no identity has "user"/,
  },
  {
    why: 'two operators',
    document: documentWith({ ...allowRule, when: { sub: { eq: 'a', glob: 'b' } } }),
    path: 'rules[0].when.sub',
    words: /exactly one/,
  },
  {
    why: 'mode without regex',
    document: documentWith({ ...allowRule, when: { sub: { eq: 'a', mode: 'full' } } }),
    path: 'rules[0].when.sub.mode',
    words: /regex/,
  },
  {
    why: 'a malformed net',
    document: documentWith({ ...allowRule, when: { ip: ['300.1.1.1'] } }),
    path: 'rules[0].when.ip',
    words: /address or a net/,
  },
  {
    why: 'a net with a long prefix',
    document: documentWith({ ...allowRule, when: { ip: ['10.0.0.0/33'] } }),
    path: 'rules[0].when.ip',
    words: /address or a net/,
  },
  {
    why: 'unknown type',
    document: documentWith({ ...allowRule, when: { type: ['Device'] } }),
    path: 'rules[0].when.type',
    words: /device/,
  },
  {
    why: 'protocol as text',
    document: documentWith({ ...allowRule, when: { protocol: ['5'] } }),
    path: 'rules[0].when.protocol',
    words: /3, 4, 5/,
  },
  {
    why: 'groups as a text',
    document: documentWith({ ...allowRule, when: { groups: 'admins' } }),
    path: 'rules[0].when.groups',
    words: /must be an object/,
  },
  {
    why: 'an empty prefix',
    document: documentWith({ ...allowRule, when: { scopes: { anyPrefix: [''] } } }),
    path: 'rules[0].when.scopes.anyPrefix',
    words: /everything/,
  },
  {
    why: 'a test without expectation',
    document: { ...documentWith(), tests: [{ as: {}, do: 'publish', topic: 'a' }] },
    path: 'tests[0].expect',
    words: /required/,
  },
  {
    why: 'a test of an unknown action',
    document: { ...documentWith(), tests: [{ as: {}, do: 'read', topic: 'a', expect: 'deny' }] },
    path: 'tests[0].do',
    words: /must be/,
  },
  {
    why: 'a test with an unknown identity member',
    document: { ...documentWith(), tests: [{ as: { user: 'x' }, do: 'publish', topic: 'a', expect: 'deny' }] },
    path: 'tests[0].as.user',
    words: /unknown/,
  },
]
for (const { why, document, path, words } of refused) {
  test(`refused, with its place: ${why}`, () => {
    const { policy, problems } = parsePolicy(document)
    assert.equal(policy, undefined)
    const found = problems.find((problem) => problem.path === path)
    assert.ok(found, `no problem at ${JSON.stringify(path)}: ${JSON.stringify(problems)}`)
    assert.match(found.message, words)
  })
}

test('every problem is told at once', () => {
  const found = problemsOf(
    documentWith({ id: 1, effect: 'x', topics: ['a#', '+b'] }, { ...denyRule, maxQos: 5, extra: 1 }),
  )
  assert.deepEqual(
    found.map((problem) => problem.split(':')[0]),
    [
      'rules[0].id',
      'rules[0].effect',
      'rules[0].topics[0]',
      'rules[0].topics[1]',
      'rules[1].extra',
      'rules[1].maxQos',
      'rules[1].maxQos',
    ],
  )
})

test('a value is never quoted back whole', () => {
  const long = 'x'.repeat(100_000)
  for (const problem of problemsOf(documentWith({ ...allowRule, [long]: 1, topics: [`a/\${${long}}`] })))
    assert.ok(problem.length < 20_000, `${problem.length} characters`)
})

test('__proto__ is a member like any other, and an unknown one', () => {
  const document = JSON.parse(
    '{"schema":"mqtt-policy/1","id":"p","rules":[{"id":"r","effect":"allow","topics":["a"],"__proto__":{"effect":"deny"}}]}',
  )
  assert.deepEqual(problemsOf(document).length, 1)
  assert.match(problemsOf(document)[0] ?? '', /__proto__.*unknown member/)
  const claims = parsePolicy(documentWith({ ...allowRule, topics: ['a/${claims.__proto__.x}'] }))
  assert.ok(claims.policy, 'a path goes through own members only, so this one finds nothing')
})

const bomb = (pattern: string) => documentWith({ ...allowRule, topics: [{ regex: pattern }] })
const nested = (depth: number): unknown => (depth === 0 ? { sub: 'x' } : { anyOf: [nested(depth - 1)] })
const hostile: readonly { why: string; document: () => unknown; ok?: boolean }[] = [
  { why: '10 MB of one pattern', document: () => documentWith({ ...allowRule, topics: ['a'.repeat(10_000_000)] }) },
  {
    why: '10 MB of unknown members',
    document: () =>
      Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`member-number-${i}-of-many-others`, i])),
  },
  { why: '200,000 rules', document: () => ({ ...documentWith(), rules: Array(200_000).fill(allowRule) }) },
  { why: '100,000 broken rules', document: () => documentWith(...Array.from({ length: 100_000 }, () => ({}))) },
  { why: 'conditions 1,000 deep', document: () => documentWith({ ...allowRule, when: nested(1_000) }) },
  {
    why: 'not 1,000 deep',
    document: () =>
      documentWith({
        ...allowRule,
        when: { sub: Array.from({ length: 1_000 }).reduce((inner) => ({ not: inner }), 'x') },
      }),
  },
  { why: 'nested repetition', document: () => bomb('(((a{1,200}){1,200}){1,200}){1,200}') },
  { why: 'a pattern of 10 KB', document: () => bomb('a?'.repeat(5_000)) },
  { why: 'a repetition of 201', document: () => bomb('a{201}') },
]
for (const { why, document } of hostile) {
  test(`hostile, and refused in bounded time: ${why}`, () => {
    const given = document()
    const startedMs = performance.now()
    const { policy, problems } = parsePolicy(given)
    const tookMs = performance.now() - startedMs
    assert.equal(policy, undefined)
    assert.ok(problems.length >= 1 && problems.length <= 100)
    assert.ok(tookMs < 2_000, `${tookMs} ms`)
  })
}

const many = (length: number, topic: (i: number) => unknown) =>
  documentWith({ ...allowRule, topics: Array.from({ length }, (_, i) => topic(i)) })
const bounds: readonly { what: string; within: unknown; beyond: unknown; words: RegExp }[] = [
  {
    what: 'regexes',
    within: many(2_000, (i) => ({ regex: `a${i}.` })),
    beyond: many(2_001, (i) => ({ regex: `a${i}.` })),
    words: /more than 2000 regexes/,
  },
  {
    what: 'instructions of regexes together',
    within: many(40, (i) => ({ regex: `${i}(a.){150}` })),
    beyond: many(800, (i) => ({ regex: `${i}(a.){150}` })),
    words: /larger than all regexes of a policy may be/,
  },
  {
    what: 'different levels with variables',
    within: many(2_000, (i) => `\${clientId}${i}`),
    beyond: many(2_001, (i) => `\${clientId}${i}`),
    words: /more than 2000 different levels/,
  },
]
for (const { what, within, beyond, words } of bounds) {
  test(`a policy has a bound on its ${what}`, () => {
    assert.deepEqual(problemsOf(within), [])
    assert.match(problemsOf(beyond)[0] ?? '', words)
  })
}

test('what a test says of identity and expectation is checked, so that a typo is no silent unknown', () => {
  const withTest = (members: object) => ({
    ...documentWith(),
    tests: [{ as: {}, do: 'publish', topic: 'a', expect: 'deny', ...members }],
  })
  const cases: readonly [members: object, path: string][] = [
    [{ as: { groups: 'admins' } }, 'tests[0].as.groups'],
    [{ as: { groups: [1] } }, 'tests[0].as.groups[0]'],
    [{ as: { tls: 'yes' } }, 'tests[0].as.tls'],
    [{ as: { clientId: 5 } }, 'tests[0].as.clientId'],
    [{ expect: { decision: 'deny', reason: 'defualt' } }, 'tests[0].expect.reason'],
    [{ expect: { decision: 'deny', rule: 5 } }, 'tests[0].expect.rule'],
    [{ expect: { decision: 'deny', qos: 3 } }, 'tests[0].expect.qos'],
  ]
  for (const [members, path] of cases)
    assert.ok(
      parsePolicy(withTest(members)).problems.some((problem) => problem.path === path),
      path,
    )
  const kept = parsePolicy(
    withTest({ expect: { decision: 'deny', reason: 'default', rule: null, 'x-why': 'a note' } }),
  ).policy
  assert.deepEqual(kept?.tests[0]?.expect, { decision: 'deny', reason: 'default', rule: null })
})

test('patterns that hang other engines are accepted and stay linear', () => {
  for (const pattern of ['(a+)+b', '(a|a)*b', '(a*)*b']) assert.deepEqual(problemsOf(bomb(pattern)), [], pattern)
})

test('in slices the result is the same', async () => {
  for (const document of [documentWith(allowRule), documentWith({}), 5])
    assert.deepEqual((await parsePolicyInSlices(document)).problems, parsePolicy(document).problems)
})
