import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '#src/policy/identity.ts'
import { assertRefused, hasNote, imported } from './imported.ts'

const rules = (topic: string) => ({ pubAuthRulePatterns: [topic], subAuthRulePatterns: [topic] })
const basic = (value: object, topic: string, name = 'b') => ({
  name,
  clientType: 'DEVICE',
  credentialsType: 'MQTT_BASIC',
  credentialsValue: JSON.stringify({ ...value, authRules: rules(topic) }),
})
const x509 = (certCnPattern: string, certCnIsRegex: boolean, authRulesMapping: object, name = 'x') => ({
  name,
  credentialsType: 'X_509',
  credentialsValue: { certCnPattern, certCnIsRegex, authRulesMapping },
})
const certificate = (cn: string): Identity => ({ auth: 'x509', cert: { cn } })

test('rules are for the client of their credential, and only when it came in by it', () => {
  const policy = imported('tbmq', [
    basic({ userName: 'alice' }, 'a/.*', 'alice'),
    { name: 's', credentialsType: 'SCRAM', credentialsValue: { userName: 'bob', authRules: rules('b/.*') } },
  ])
  assert.equal(policy.as({ auth: 'basic', username: 'alice' }).decide('publish', 'a/x').rule, 'alice-publish')
  assert.equal(policy.as({ auth: 'scram', username: 'bob' }).decide('subscribe', 'b/+').rule, 's-subscribe')
  for (const who of [
    { username: 'alice' },
    { auth: 'jwt', username: 'alice' },
    { auth: 'basic', username: 'bob' },
  ] as const)
    assert.ok(!policy.as(who).allows('publish', 'a/x'), JSON.stringify(who))
})

test('of several Basic credentials for one client the most specific decides alone', () => {
  const policy = imported('tbmq', [
    basic({ clientId: 'c' }, 'c/.*'),
    basic({ userName: 'u', clientId: 'c' }, 'm/.*'),
    basic({ userName: 'u' }, 'u/.*'),
  ])
  const decides = (who: Identity) =>
    ['m/x', 'u/x', 'c/x'].filter((topic) => policy.as({ auth: 'basic', ...who }).allows('publish', topic))
  assert.deepEqual(decides({ username: 'u', clientId: 'c' }), ['m/x'])
  assert.deepEqual(decides({ username: 'u', clientId: 'other' }), ['u/x'])
  assert.deepEqual(decides({ username: 'other', clientId: 'c' }), ['c/x'])
  assert.ok(!policy.as({ auth: 'basic', username: 'u', clientId: 'c' }).allows('subscribe', 'u/#'))
  assert.ok(policy.as({ auth: 'basic', username: 'u', clientId: 'c' }).allows('subscribe', 'm/#'))
  assert.ok(hasNote(policy, 'ambiguous', ''))
})

test('every mapping that is found in the common name adds its rules, with the name quoted', () => {
  const policy = imported(
    'tbmq',
    x509('device', true, { 'device-': rules('d/${cn}/.*'), sensor$: rules('\\Qs.\\E${cn}'), other: rules('.*') }),
  )
  const subject = policy.as(certificate('device-.sensor'))
  assert.ok(subject.allows('publish', 'd/device-.sensor/x') && subject.allows('publish', 's.device-.sensor'))
  assert.ok(!subject.allows('publish', 'd/device-xsensor/x') && !subject.allows('publish', 'zzz'))
  assert.ok(!policy.as(certificate('printer')).allows('publish', 'd/printer/x'))
  assert.ok(
    policy.as(certificate('my-device-1')).allows('subscribe', 'd/my-device-1/#'),
    'found, not anchored, as find() does',
  )
})

test('a common name that spans levels is refused', () => {
  const policy = imported('tbmq', x509('.*', true, { '.*': rules('d/${cn}') }))
  assert.ok(policy.as(certificate('a')).allows('publish', 'd/a'))
  assert.ok(!policy.as(certificate('a/b')).allows('publish', 'd/a/b'))
  assert.ok(hasNote(policy, 'stricter', ''))
})

test('the first X.509 credential that fits decides alone: regexes in their order, then the name itself', () => {
  const all = { '.*': rules('exact/.*') }
  const policy = imported('tbmq', [
    x509('dev-1', false, all),
    x509('dev', true, { '.*': rules('first/.*') }),
    x509('1$', true, { '.*': rules('second/.*') }),
  ])
  const decides = (cn: string) =>
    ['exact/x', 'first/x', 'second/x'].filter((topic) => policy.as(certificate(cn)).allows('publish', topic))
  assert.deepEqual(decides('dev-1'), ['first/x'])
  assert.deepEqual(decides('x1'), ['second/x'])
  assert.deepEqual(
    imported('tbmq', [x509('dev-1', false, all)])
      .as(certificate('dev-1'))
      .decide('publish', 'exact/x').decision,
    'allow',
  )
})

test('blocked clients may not connect', () => {
  const policy = imported('tbmq', {
    blockedClients: [
      { type: 'CLIENT_ID', clientId: 'bad' },
      { type: 'USERNAME', value: 'mallory', expirationTime: 1_893_456_000_000 },
      { type: 'IP_ADDRESS', ipAddress: '10.0.0.9' },
      { type: 'REGEX', pattern: 'test-[0-9]+', regexMatchTarget: 'BY_CLIENT_ID' },
      { type: 'CLIENT_ID', clientId: 'old', status: 'EXPIRED' },
    ],
  })
  for (const who of [{ clientId: 'bad' }, { username: 'mallory' }, { ip: '::ffff:10.0.0.9' }, { clientId: 'test-12' }])
    assert.equal(policy.as(who).decide('connect', '').decision, 'deny', JSON.stringify(who))
  for (const who of [{ clientId: 'xtest-12' }, { clientId: 'old' }, { ip: '10.0.0.8' }, {}])
    assert.equal(policy.as(who).decide('connect', '').decision, 'allow', JSON.stringify(who))
  assert.ok(
    hasNote(policy, 'stricter', 'blockedClients[1].expirationTime') && hasNote(policy, 'dropped', 'blockedClients[4]'),
  )
})

const wrong: readonly [name: string, input: unknown, at: string, message: RegExp][] = [
  [
    'a credential of an unknown type',
    [{ credentialsType: 'SSL', credentialsValue: {} }],
    '[0].credentialsType',
    /MQTT_BASIC/,
  ],
  [
    'a value that is no JSON',
    [{ credentialsType: 'SCRAM', credentialsValue: '{' }],
    '[0].credentialsValue',
    /the document: /,
  ],
  [
    'a credential for nobody',
    [{ credentialsType: 'MQTT_BASIC', credentialsValue: { authRules: null } }],
    '[0].credentialsValue.userName',
    /required, or clientId/,
  ],
  [
    'a credential without rules',
    [{ credentialsType: 'SCRAM', credentialsValue: { userName: 'u' } }],
    '[0].credentialsValue.authRules',
    /required/,
  ],
  ['a mapping of nothing', x509('a', false, {}), 'credentialsValue.authRulesMapping', /no rules/],
  [
    'an address by regular expression',
    { type: 'REGEX', pattern: '10\\..*', regexMatchTarget: 'BY_IP_ADDRESS' },
    'regexMatchTarget',
    /nets/,
  ],
  ['a regular expression for nothing', { type: 'REGEX', pattern: 'a' }, 'regexMatchTarget', /required/],
  ['an element that is neither', [{ name: 'x' }], '[0]', /neither/],
  [
    'an expiry beyond time',
    { type: 'CLIENT_ID', clientId: 'c', expirationTime: 1e16 },
    'expirationTime',
    /whole number/,
  ],
]
for (const [name, input, at, message] of wrong)
  test(`tbmq refuses ${name}`, () => assertRefused('tbmq', input, at, message))

test('no password of a credential comes out of an import', () => {
  const { document, notes } = imported('tbmq', basic({ userName: 'u', password: 'hunter2' }, 'a'))
  assert.ok(!JSON.stringify({ document, notes }).includes('hunter2'))
})
