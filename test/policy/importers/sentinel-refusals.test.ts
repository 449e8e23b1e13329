import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertRefused, refused } from './imported.ts'
import type { SentinelRule } from './sentinel-model.ts'

const rule = (members: Partial<SentinelRule> = {}): SentinelRule => ({
  name: 'r',
  topics: ['#'],
  decision: 'allow',
  ...members,
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  [
    'a key in another spelling',
    { acl: { default_action: 'allow' } },
    'acl.default_action',
    /did you mean default-action/,
  ],
  [
    'a key of a match in another spelling',
    { acl: { rules: [rule({ match: { clientId: 'c' } as never })] } },
    'acl.rules[0].match.clientId',
    /did you mean client-id/,
  ],
  ['a section that does not exist', { acls: {} }, 'acls', /did you mean acl/],
  ['# before the end', { acl: { rules: [rule({ topics: ['a/#/b'] })] } }, 'acl.rules[0].topics[0]', /last level/],
  [
    'a wildcard inside a level',
    { acl: { rules: [rule({ topics: ['a+/b'], decision: 'deny' })] } },
    'acl.rules[0].topics[0]',
    /whole level/,
  ],
  [
    'what looks like a capture',
    { acl: { rules: [rule({ topics: ['+:x'] })] } },
    'acl.rules[0].topics[0]',
    /whole level/,
  ],
  ['an empty pattern', { acl: { rules: [rule({ topics: [''] })] } }, 'acl.rules[0].topics[0]', /not empty/],
  [
    'a share prefix',
    { acl: { rules: [rule({ topics: ['$share/g/a'] })] } },
    'acl.rules[0].topics[0]',
    /behind \$share/,
  ],
  [
    'a regular expression that is not linear',
    { acl: { rules: [rule({ match: { 'username-regex': '(?=a)b' } })] } },
    'acl.rules[0]',
    /when\.username/,
  ],
  [
    'an address that is none',
    { acl: { rules: [rule({ match: { 'client-ip': '10.0.0.0/40' } as never })] } },
    'acl.rules[0]',
    /when\.ip/,
  ],
  [
    'a decision that is none',
    { acl: { rules: [rule({ decision: 'maybe' as never })] } },
    'acl.rules[0].decision',
    /"allow" or "deny"/,
  ],
  [
    'an action that is none',
    { acl: { rules: [rule({ actions: ['write'] })] } },
    'acl.rules[0].actions[0]',
    /one of publish/,
  ],
  ['a QoS that is none', { acl: { rules: [rule({ 'max-qos': 3 })] } }, 'acl.rules[0].max-qos', /from 0 to 2/],
  ['rules that are no list', { acl: { rules: {} } }, 'acl.rules', /must be a list/],
  [
    'a name that is missing',
    { acl: { rules: [{ topics: ['a'], decision: 'allow' }] } },
    'acl.rules[0].name',
    /required/,
  ],
  ['a list', [], '', /must be an object/],
  ['a text that is no JSON', '{', '', /the document: /],
  ['a name twice', '{"acl":{},"acl":{}}', '', /twice/],
]
for (const [name, input, at, message] of wrong)
  test(`sentinel refuses ${name}`, () => assertRefused('sentinel', input, at, message))

test('every problem is told at once', () => {
  const problems = refused('sentinel', {
    acl: { rules: [rule({ topics: ['a#'] }), rule({ decision: 'x' as never })], defaultAction: 1 },
  })
  assert.deepEqual(problems.map(({ path }) => path).toSorted(), [
    'acl.defaultAction',
    'acl.rules[0].topics[0]',
    'acl.rules[1].decision',
  ])
})
