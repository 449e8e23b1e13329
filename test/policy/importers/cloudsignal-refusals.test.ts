import { test } from 'node:test'
import { assertRefused } from './imported.ts'

const a = (rules: readonly unknown[], more: object = {}) => ({ version: '2.0', default_action: 'deny', rules, ...more })
const b = (members: object) => ({ version: '2.1', default: 'deny', ...members })
const inbox = { topic: '/{email}/inbox', action: 'subscribe', effect: 'allow' }

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['a version that is not published', { version: '3', rules: [] }, 'version', /version "3".*known are A/],
  ['a version that is a number', { version: 2, rules: [] }, 'version', /a version that is a number/],
  ['a document without version and users', { rules: [{ topic: 'a' }] }, 'version', /no version, members "rules"/],
  ['a list of something else', [{ topic: 'a' }], '', /no permission/],
  ['a text', '"x"', '', /no policy/],
  [
    'A: a placeholder that is none',
    a([{ ...inbox, topic: '{channel}' }]),
    'rules[0].topic',
    /\{channel\}.*known are email/,
  ],
  ['A: a placeholder of an object', a([{ ...inbox, topic: '{constructor}' }]), 'rules[0].topic', /no placeholder/],
  ['A: a brace without partner', a([{ ...inbox, topic: 'a/{email' }]), 'rules[0].topic', /partner/],
  ['A: a rule without effect', a([{ topic: 'a', action: 'publish' }]), 'rules[0].effect', /required/],
  ['A: members that are not published', a([{ ...inbox, qos: [1] }]), 'rules[0].qos', /unknown member/],
  ['A: an action that is none', a([{ ...inbox, action: 'both' }]), 'rules[0].action', /"subscribe" or "publish"/],
  ['A: a wildcard inside a level', a([{ ...inbox, topic: 'a{email}+' }]), 'rules[0].topic', /whole level/],
  ['A: a document without default', { version: '2.0', rules: [] }, 'default_action', /required/],
  [
    'B: {$self} without binding',
    b({ rules: [{ topic: '{$self}', action: 'sub' }] }),
    'rules[0].topic',
    /needs binding/,
  ],
  [
    'B: a placeholder beside the binding',
    b({ rules: [{ topic: '{email}', action: 'sub', binding: 'sub' }] }),
    'rules[0].topic',
    /binding names/,
  ],
  [
    'B: agents without binding',
    b({ rules: [{ topic: 'a', action: 'sub', agents: ['x'] }] }),
    'rules[0].agents',
    /needs binding/,
  ],
  [
    'B: a grant without channel',
    b({ rules: [{ topic: 'a', action: 'sub', require_grant: true }] }),
    'rules[0].require_grant',
    /\{channel\}/,
  ],
  [
    'B: a binding that is no name',
    b({ rules: [{ topic: 'a', action: 'sub', binding: 'a.b' }] }),
    'rules[0].binding',
    /letters/,
  ],
  [
    'B: a rule for all with a binding',
    b({ global: [{ topic: 'a', action: 'sub', binding: 'x' }] }),
    'global[0].binding',
    /unknown member/,
  ],
  ['B: publishers', b({ publishers: ['rest_publisher'] }), 'publishers', /not published/],
  ['C: an action of D', { rules: [{ user: '*', topic: 'a', permission: 'pubsub' }] }, 'rules[0].permission', /"both"/],
  [
    'C: a priority',
    { rules: [{ user: '*', topic: 'a', permission: 'both', priority: 1 }] },
    'rules[0].priority',
    /unknown member/,
  ],
  ['D: a wildcard of C', [{ user: 'a*', topic: 'a', permission: 'publish' }], '[0].user', /write %/],
  [
    'D: a variable that is none',
    [{ user: '%', topic: '{email}', permission: 'publish' }],
    '[0].topic',
    /known are username/,
  ],
]
for (const [name, input, at, message] of wrong)
  test(`cloudsignal refuses ${name}`, () => assertRefused('cloudsignal', input, at, message))
