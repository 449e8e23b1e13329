import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { importDialects, importPolicy } from '#src/policy/importers/import-policy.ts'
import { parsePolicy } from '#src/policy/parse-policy.ts'
import { forEvery } from './property.ts'

/** A source of each dialect that is accepted, to be damaged. */
const sources: Readonly<Record<string, readonly unknown[]>> = {
  sentinel: [
    {
      acl: {
        enabled: true,
        'default-action': 'deny',
        rules: [
          {
            name: 'r',
            match: { 'username-regex': '^a', groups: ['g'], 'client-ip': '10.0.0.0/8' },
            topics: ['a/+'],
            actions: ['publish'],
            decision: 'allow',
            'max-qos': 1,
            priority: 3,
          },
        ],
      },
      qos: { downgrade: false },
    },
  ],
  celine: [
    {
      celine: {
        mqtt: {
          acl: {
            rules: [{ subjects: { types: ['user'], scopes: ['a.*'] }, topics: ['a/#'], actions: '*', effect: 'allow' }],
          },
        },
        roles: { group_permissions: { g: ['read'] }, scope_permissions: { s: ['publish'] } },
      },
    },
  ],
  'celine-scopes': [{}],
  tbmq: [
    {
      credentials: [
        {
          name: 'b',
          credentialsType: 'MQTT_BASIC',
          credentialsValue: {
            userName: 'u',
            authRules: { pubAuthRulePatterns: ['a/.*'], subAuthRulePatterns: ['a/[^/]+'] },
          },
        },
        {
          credentialsType: 'X_509',
          credentialsValue: {
            certCnPattern: 'a',
            certCnIsRegex: true,
            authRulesMapping: { '.*': { pub: ['d/${cn}'] } },
          },
        },
      ],
      blockedClients: [{ type: 'REGEX', pattern: 'a', regexMatchTarget: 'BY_USERNAME', expirationTime: 0 }],
    },
    { result: 'success', authRules: null },
  ],
  cloudsignal: [
    { version: '2.0', default_action: 'deny', rules: [{ topic: '/{email}/x', action: 'subscribe', effect: 'allow' }] },
    {
      version: '2.1',
      default: 'deny',
      global: [],
      rules: [
        { topic: '{$self}/{channel}', action: 'pub+sub', binding: 'agent_id', agents: ['a'], require_grant: true },
      ],
      publishers: [],
    },
    [{ user: 'a%', topic: '%u/#', permission: 'pubsub', priority: 1, effect: 'DENY' }],
    { rules: [{ user: 'a*', topic: '{username}/{channel}', permission: 'both' }] },
  ],
  mosquitto: ['topic read a/#\nuser bob\ntopic deny b\npattern write c/%c/#\npattern deny %u\n'],
  'mosquitto-dynsec': [
    {
      defaultACLAccess: { subscribe: true },
      clients: [{ username: 'u', roles: [{ rolename: 'r', priority: 1 }], groups: [{ groupname: 'g' }] }],
      groups: [{ groupname: 'g', roles: [{ rolename: 'r' }] }],
      roles: [
        {
          rolename: 'r',
          allowwildcardsubs: false,
          acls: [{ acltype: 'subscribePattern', topic: '%c/#', priority: 1, allow: true }],
        },
      ],
      anonymousGroup: 'g',
    },
  ],
  emqx: [
    '{allow, {\'and\', [{user, "a"}, {ipaddr, "10.0.0.0/8"}]}, {publish, [{qos, [1]}, {retain, true}]}, ["a/${clientid}", {eq, "#"}]}. {deny, all}.',
    { acl: [{ permission: 'deny', action: 'all', topic: 'eq #', qos: '1,2', retain: 1 }] },
  ],
  aws: [
    {
      Version: '2012-10-17',
      Statement: [
        { Sid: 's', Effect: 'Allow', Action: ['iot:*'], Resource: ['*', 'arn:aws:iot:r:1:topic/a/${iot:ClientId}/*'] },
      ],
    },
  ],
}

/** Whatever comes in, a document that is accepted here too or problems with their places come out, and nothing is thrown. */
function holds(dialect: string, input: unknown): 'document' | 'problems' {
  const result = importPolicy(dialect, input, { ordered: true, stripLeadingSlash: true })
  if (result.document === undefined) {
    assert.ok(result.problems.length > 0 && result.problems.length <= 100)
    for (const { path, message } of result.problems)
      assert.ok(typeof path === 'string' && message !== '' && message.length < 4_000)
    return 'problems'
  }
  assert.deepEqual(parsePolicy(JSON.parse(JSON.stringify(result.document))).problems, [])
  return 'document'
}

const odd = fc.constantFrom<unknown>(
  null,
  true,
  -1,
  1e308,
  3.5,
  '',
  '#',
  '+',
  '\u0000',
  '\ud800',
  '${',
  '${x}',
  '{',
  '__proto__',
  'x'.repeat(70_000),
  [],
  {},
  [[[]]],
  { __proto__: null, constructor: 1 },
  JSON.parse('{"__proto__":{"effect":"allow"}}'),
)

type Path = readonly (string | number)[]

/** Every place of a value. */
function places(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([key, member]) => places(member, [...path, key]))]
}

function withValue(value: unknown, [key, ...rest]: Path, put: unknown): unknown {
  if (key === undefined) return put
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...(value as object) }
  Object.defineProperty(copy, key, {
    value: withValue((value as Record<string, unknown>)[key], rest, put),
    enumerable: true,
    configurable: true,
    writable: true,
  })
  return copy
}

for (const dialect of importDialects) {
  const whole = sources[dialect] ?? []
  test(`${dialect}: the sources that are damaged below are accepted`, () => {
    assert.ok(whole.length > 0)
    for (const source of whole) assert.equal(holds(dialect, source), 'document')
  })

  test(`${dialect}: a source that is damaged in one place is read or refused, never thrown at`, (t) => {
    const damaged = fc
      .tuple(fc.constantFrom(...whole), fc.nat(), odd, fc.nat({ max: 3 }))
      .map(([source, at, put, how]) => {
        if (typeof source === 'string')
          return `${source.slice(0, at % (source.length + 1))}${typeof put === 'string' ? put : JSON.stringify(put)}${source.slice((at % (source.length + 1)) + how)}`
        const all = places(source)
        return withValue(source, all[at % all.length] ?? [], put)
      })
    const counts = { document: 0, problems: 0 }
    forEvery(t, damaged, 400, (input) => {
      counts[holds(dialect, input)]++
      if (typeof input !== 'string') holds(dialect, JSON.stringify(input))
    })
    t.diagnostic(JSON.stringify(counts))
    assert.ok(counts.problems > 20)
  })

  test(`${dialect}: any JSON and any text is read or refused`, (t) => {
    const keys = fc.constantFrom(
      'acl',
      'rules',
      'celine',
      'roles',
      'version',
      'Statement',
      'credentials',
      'pub',
      'clients',
      'x',
      '__proto__',
    )
    const values = fc.anything({ key: keys, maxDepth: 5, withNullPrototype: true })
    forEvery(
      t,
      fc.oneof(
        values,
        fc.string(),
        fc.json(),
        fc.constantFrom(undefined, null, 0, Symbol.iterator, () => 1),
      ),
      300,
      (input) => {
        holds(dialect, input)
      },
    )
  })

  test(`${dialect}: depth, size and circles are bounded`, () => {
    const circle: Record<string, unknown> = { rules: [] }
    circle['acl'] = circle
    const rules = Array.from({ length: 1_100_000 }, () => 0)
    const inputs: unknown[] = [
      circle,
      '['.repeat(1_000_000),
      `${'{"a":'.repeat(50)}1${'}'.repeat(50)}`,
      'x'.repeat(33_000_000),
      { rules },
      { acl: { rules } },
      rules,
      ' '.repeat(2_000_000),
    ]
    for (const input of inputs) {
      const isBlank = dialect === 'mosquitto' || dialect === 'emqx' // a text without lines is a file without rules
      if (!(isBlank && input === inputs.at(-1))) assert.equal(holds(dialect, input), 'problems')
    }
  })
}

test('a dialect that is not known is refused with those that are', () => {
  for (const name of ['', 'hivemq', '__proto__', 'constructor', 'toString']) {
    const result = importPolicy(name, {})
    assert.equal(result.document, undefined)
    assert.match(JSON.stringify(result), /known are sentinel, celine/)
  }
})

test('an id is given to the document, and a bad one is refused', () => {
  assert.equal(importPolicy('sentinel', {}, { id: 'mine' }).document?.id, 'mine')
  assert.equal(importPolicy('sentinel', {}, { id: '' }).document, undefined)
})
