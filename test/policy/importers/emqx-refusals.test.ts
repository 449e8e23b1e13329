import { test } from 'node:test'
import { assertRefused } from './imported.ts'

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  ['a term without its dot', '{allow, all}', 'line 1', /ends with a dot/],
  ['a term that does not end', '{allow, all, publish, ["a"', 'line 1', /before the end/],
  ['a text that does not end', '\n{allow, all, publish, ["a]}.', 'line 2', /without its partner/],
  ['who cannot be read', '{allow, {zone, "x"}, all, ["a"]}.', 'line 1', /who is all/],
  ['an action that is none', '{allow, all, write, ["a"]}.', 'line 1', /the action is publish/],
  ['a QoS that is none', '{allow, all, {publish, [{qos, 3}]}, ["a"]}.', 'line 1', /the action is publish/],
  ['topics that are no list', '{allow, all, publish, "a"}.', 'line 1', /a list of texts/],
  ['a permission that is none', '{ignore, all, publish, ["a"]}.', 'line 1', /allow \| deny/],
  ['a short form of its own', '{allow, {user, "a"}}.', 'line 1', /four parts/],
  ['a variable of version 4', '{allow, all, publish, ["a/%c"]}.', 'line 1', /\$\{clientid\} for %c/],
  ['a variable that is none', '{allow, all, publish, ["a/${zone}"]}.', 'line 1', /known variables/],
  ['what is no term', '{allow, all, publish, [Var]}.', 'line 1', /cannot be read/],
  ['JSON without permission', [{ action: 'publish', topic: 'a' }], '[0].permission', /required/],
  ['JSON without topic', [{ permission: 'allow', action: 'publish' }], '[0].topic', /required/],
  [
    'JSON with a retain that is none',
    [{ permission: 'allow', action: 'publish', topic: 'a', retain: 2 }],
    '[0].retain',
    /true, false/,
  ],
  ['a superuser', { acl: [], is_superuser: true }, 'is_superuser', /superuser/],
  [
    'a member that is none',
    [{ permission: 'allow', action: 'publish', topic: 'a', clientId: 'x' }],
    '[0].clientId',
    /unknown member/,
  ],
]
for (const [name, input, at, message] of wrong)
  test(`emqx refuses ${name}`, () => assertRefused('emqx', input, at, message))
