import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseBrokerAuthConfig } from '#src/broker-auth/config.ts'
import { POLICY, TENANT } from './hook-harness.ts'

const hook = {
  name: 'default',
  dialect: 'go-auth',
  secret: { env: 'HOOK_SECRET' },
  tenant: TENANT,
  policy: POLICY,
  providers: ['devices'],
}
const providers = { devices: { type: 'file', path: '/etc/users.json' } }
const config = (more: object, section: object = {}) =>
  JSON.stringify({ version: 1, providers, hooks: [{ ...hook, ...section }], ...more })

/** The lines of what a faulty file is refused with. */
function faults(text: string): string[] {
  try {
    parseBrokerAuthConfig(text)
  } catch (err) {
    const [first, ...lines] = (err as Error).message.split('\n')
    assert.equal(first, 'Invalid BROKER_AUTH_CONFIG:')
    return lines.map((line) => line.trim())
  }
  return []
}

test('a small configuration is complete, and what it leaves out is the safe choice', () => {
  const parsed = parseBrokerAuthConfig(config({}))
  const [first] = parsed.hooks
  assert.ok(first)
  assert.equal(first.superuser, undefined)
  assert.equal(first.permissions, undefined)
  assert.equal(first.deadline_ms, 250)
  assert.equal(first.stale_s, 30)
  assert.deepEqual(parsed.client_ids, { pattern: '^[\\w.:-]+$', min: 1, max: 128 })
})

test('a hook without secret, certificate or addresses does not start', () => {
  assert.deepEqual(faults(config({}, { secret: undefined })), [
    'hooks[0]: needs secret, mutual_tls or addresses: a hook is not open to everybody',
  ])
})

const cases: readonly [what: string, text: string, line: RegExp][] = [
  ['no JSON', '{', /^Body: not JSON\.$|unterminated|expected/i],
  ['a member twice', config({}).replace('"version":1', '"version":1,"version":1'), /"version" occurs twice/],
  ['an unknown member', config({ hocks: [] }), /^hocks: is not known here$/],
  ['an unknown member of a hook', config({}, { superusers: {} }), /^hooks\[0\]\.superusers: is not known here$/],
  ['another version', config({ version: 2 }), /^version: /],
  ['no hook', config({ hooks: [] }), /^hooks: /],
  ['an unknown dialect', config({}, { dialect: 'hivemq' }), /^hooks\[0\]\.dialect: /],
  ['a name with a slash', config({}, { name: 'a/b' }), /^hooks\[0\]\.name: /],
  ['two hooks of one name', config({ hooks: [hook, hook] }), /^hooks\[1\]\.name: is the name of another hook$/],
  [
    'a provider that is none',
    config({}, { providers: ['idp'] }),
    /^hooks\[0\]\.providers\[0\]: is none of `providers`$/,
  ],
  ['a provider of every object', config({}, { providers: ['toString'] }), /is none of `providers`$/],
  [
    'a provider twice',
    config({}, { providers: ['devices', 'devices'] }),
    /^hooks\[0\]\.providers: names a provider twice$/,
  ],
  ['a secret in the file itself', config({}, { secret: 'in the file' }), /^hooks\[0\]\.secret: /],
  ['a tenant that is none', config({}, { tenant: 'pol_1' }), /^hooks\[0\]\.tenant: must be the id of a tenant$/],
  ['an address that is no net', config({}, { addresses: ['10.0.0.1'] }), /^hooks\[0\]\.addresses\[0\]: /],
  [
    'a capability that is none',
    config({}, { permissions: { groups: { a: ['superuser'] } } }),
    /^hooks\[0\]\.permissions\.groups\.a\[0\]: /,
  ],
  ['a place of tokens that says nothing', config({}, { token_from: ['password'] }), /^hooks\[0\]\.token_from\[0\]: /],
  ['a deadline of nothing', config({}, { deadline_ms: 0 }), /^hooks\[0\]\.deadline_ms: /],
  ['a client-id pattern that is none', config({ client_ids: { pattern: '(' } }), /^client_ids\.pattern: /],
]

for (const [what, text, line] of cases) {
  test(`a faulty configuration names the place: ${what}`, () => {
    const lines = faults(text)
    assert.ok(
      lines.some((one) => line.test(one)),
      lines.join('\n'),
    )
  })
}

test('every fault is told at once, and no value is printed', () => {
  const lines = faults(
    config({ hocks: 1 }, { name: 'SECRET-VALUE', deadline_ms: 1, secret: { file: 'a', env: 'SECRET-VALUE' } }),
  )
  assert.ok(lines.length >= 4, lines.join('\n'))
  assert.ok(!lines.join().includes('SECRET-VALUE'))
})
