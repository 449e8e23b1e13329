import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '#src/policy/identity.ts'
import { hasNote, imported } from './imported.ts'

/** The tables of "Security model" (TBMQ), section Authorization. */
const tables = [
  {
    credential: 'sensor-device-001',
    publish: 'sensors/device-001/.*',
    subscribe: 'commands/device-001/[^/]+',
    own: 'device-001',
  },
  {
    credential: 'sensor-gateway-001',
    publish: 'sensors/gateway-001/.*',
    subscribe: 'commands/gateway-001/[^/]+',
    own: 'gateway-001',
    clientType: 'DEVICE',
  },
]

for (const { credential, publish, subscribe, own, ...attributes } of tables) {
  test(`"Security model": ${credential} publishes and subscribes below its own name alone`, () => {
    const policy = imported('tbmq', {
      name: credential,
      ...attributes,
      credentialsType: 'MQTT_BASIC',
      credentialsValue: {
        userName: credential,
        authRules: { pubAuthRulePatterns: [publish], subAuthRulePatterns: [subscribe] },
      },
    })
    const subject = policy.as({ auth: 'basic', username: credential })
    assert.equal(subject.decide('publish', `sensors/${own}/temp/1`).rule, `${credential}-publish`)
    assert.ok(subject.allows('subscribe', `commands/${own}/reboot`) && subject.allows('subscribe', `commands/${own}/+`))
    for (const topic of [`commands/${own}/reboot`, 'sensors/other/temp', `sensors/${own}x/temp`])
      assert.ok(!subject.allows('publish', topic), topic)
    for (const filter of [`commands/${own}/#`, 'commands/+/reboot', `sensors/${own}/temp`, '#'])
      assert.ok(!subject.allows('subscribe', filter), filter)
    assert.equal(hasNote(policy, 'dropped', ''), 'clientType' in attributes, 'the client type is no condition')
  })
}

test('"Security model", rules at connection time: the lists of a token or an HTTP service are those of one session', () => {
  const subject = imported('tbmq', {
    result: 'success',
    clientType: 'APPLICATION',
    authRules: { pub: ['a/.*'], sub: [] },
  }).as({ auth: 'http' })
  assert.ok(subject.allows('publish', 'a/b') && !subject.allows('subscribe', 'a/b'))
})

test('"Security model", production example: no device reaches the topics of another', () => {
  const policy = imported('tbmq', {
    name: 'devices',
    credentialsType: 'X_509',
    credentialsValue: {
      certCnPattern: '.*',
      certCnIsRegex: true,
      authRulesMapping: {
        '.*': { pubAuthRulePatterns: ['sensors/${cn}/[^/]+'], subAuthRulePatterns: ['commands/${cn}/[^/]+'] },
      },
    },
  })
  const device = (cn: string): Identity => ({ auth: 'x509', tls: true, cert: { cn } })
  assert.ok(
    policy.as(device('d-1')).allows('publish', 'sensors/d-1/temp') &&
      policy.as(device('d-1')).allows('subscribe', 'commands/d-1/+'),
  )
  for (const topic of ['sensors/d-2/temp', 'sensors/d-10/temp', 'sensors/d-1/a/b'])
    assert.ok(!policy.as(device('d-1')).allows('publish', topic), topic)
  for (const cn of ['+', '#', '.*', 'd-1/temp', 'd-1|d-2', '\\E.*'])
    assert.ok(!policy.as(device(cn)).allows('publish', 'sensors/d-2/temp'), cn)
})
