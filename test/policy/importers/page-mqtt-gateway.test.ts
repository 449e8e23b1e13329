import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '#src/policy/identity.ts'
import { imported } from './imported.ts'

/** "MQTT Gateway", section "Topic-Based Access Control". */
const accessControl = `{
  "acl": {
    "enabled": true,
    "default-action": "deny",
    "rules": [
      {
        "name": "sensor-publish",
        "match": { "username-regex": "^sensor-" },
        "topics": ["sensors/+/data", "sensors/+/status"],
        "actions": ["publish"],
        "decision": "allow",
        "max-qos": 1
      },
      {
        "name": "admin-full-access",
        "match": { "groups": ["admin"] },
        "topics": ["#"],
        "actions": ["publish", "subscribe"],
        "decision": "allow"
      },
      {
        "name": "block-internal",
        "topics": ["$SYS/#", "internal/#"],
        "decision": "deny",
        "priority": 100
      }
    ]
  }
}`

/** "MQTT Gateway", section "Full Configuration Example". */
const fullConfiguration = `{
  "auth": {
    "enabled": true,
    "allow-anonymous": false,
    "providers": [
      {
        "type": "file",
        "path": "/etc/sentinel/mqtt-users.json"
      }
    ],
    "min-client-id-length": 5,
    "max-client-id-length": 64
  },
  "acl": {
    "enabled": true,
    "default-action": "deny",
    "rules": [
      {
        "name": "sensors-publish",
        "match": { "username-regex": "^sensor-" },
        "topics": ["sensors/+/data"],
        "actions": ["publish"],
        "decision": "allow",
        "max-qos": 1
      },
      {
        "name": "operators-subscribe",
        "match": { "groups": ["operators"] },
        "topics": ["sensors/#"],
        "actions": ["subscribe"],
        "decision": "allow"
      }
    ]
  },
  "inspection": {
    "enabled": true,
    "max-payload-size": 262144,
    "patterns": {
      "sqli": true,
      "command-injection": true
    }
  },
  "rate-limit": {
    "enabled": true,
    "per-client": {
      "messages-per-second": 100,
      "bytes-per-second": 1048576,
      "burst": 50
    }
  },
  "qos": {
    "enabled": true,
    "max-qos": 1,
    "downgrade": true
  },
  "retained": {
    "enabled": true,
    "allow-retained": false,
    "allowed-topics": ["config/#"]
  },
  "general": {
    "block-mode": true,
    "fail-open": false,
    "log-packets": false,
    "protocol-versions": ["3.1.1", "5.0"]
  }
}`

const sensor: Identity = { clientId: 'sensor-001', username: 'sensor-001', groups: ['sensors'] }
const admin: Identity = { clientId: 'adm', username: 'root', groups: ['admin'] }

test('"MQTT Gateway", Topic-Based Access Control: what the rules say holds', () => {
  const policy = imported('sentinel', accessControl)
  const subject = policy.as(sensor)
  assert.deepEqual(
    { ...subject.decide('publish', 'sensors/temp/data', { qos: 1 }) },
    { decision: 'allow', reason: 'rule', rule: 'sensor-publish', qos: 1, retain: false },
  )
  assert.equal(subject.decide('publish', 'sensors/temp/data', { qos: 2 }).qos, 1, 'at QoS 1, and not 2')
  assert.ok(subject.allows('publish', 'sensors/temp/status') && !subject.allows('subscribe', 'sensors/temp/data'))
  assert.ok(!policy.as({ username: 'user-1' }).allows('publish', 'sensors/temp/data'))
  assert.ok(policy.as(admin).allows('publish', 'a/b') && policy.as(admin).allows('subscribe', 'a/#'))
  for (const topic of ['internal/keys', '$SYS/broker'])
    assert.equal(policy.as(admin).decide('publish', topic).rule, 'block-internal')
  assert.ok(!policy.as(admin).allows('subscribe', '#'), 'it would deliver internal/…')
})

test('"MQTT Gateway", Topic Wildcards: + is exactly one level, # zero or more', () => {
  const acl = (topic: string) =>
    imported('sentinel', { acl: { rules: [{ name: 'r', topics: [topic], decision: 'allow' }] } }).as({})
  assert.ok(
    acl('sensors/+/data').allows('publish', 'sensors/temp/data') &&
      !acl('sensors/+/data').allows('publish', 'sensors/a/b/data'),
  )
  assert.ok(
    acl('sensors/#').allows('publish', 'sensors/temp/living/zone1') && acl('sensors/#').allows('publish', 'sensors'),
  )
})

test('"MQTT Gateway", Match Conditions: each criterion of the list decides', () => {
  const conditions: readonly [match: object, fits: Identity, other: Identity][] = [
    [{ username: 'a' }, { username: 'a' }, { username: 'aa' }],
    [{ 'username-regex': '^sensor-' }, { username: 'sensor-1' }, { username: 'x-sensor-' }],
    [{ 'client-id': 'c' }, { clientId: 'c' }, { clientId: 'd' }],
    [{ 'client-id-regex': '[0-9]$' }, { clientId: 'c1' }, { clientId: 'c' }],
    [{ 'client-ip': '192.168.1.0/24' }, { ip: '192.168.1.100' }, { ip: '192.168.2.1' }],
    [{ groups: ['a', 'b'] }, { groups: ['b'] }, { groups: ['c'] }],
    [{ 'protocol-version': 4 }, { protocol: 4 }, { protocol: 5 }],
  ]
  for (const [match, fits, other] of conditions) {
    const policy = imported('sentinel', { acl: { rules: [{ name: 'r', match, topics: ['a'], decision: 'allow' }] } })
    assert.deepEqual(
      [policy.as(fits).allows('publish', 'a'), policy.as(other).allows('publish', 'a')],
      [true, false],
      JSON.stringify(match),
    )
  }
})

test('"MQTT Gateway", Full Configuration Example: the policy is its acl, and the rest is told', () => {
  const policy = imported('sentinel', fullConfiguration)
  assert.ok(
    policy.as({ groups: ['operators'] }).allows('subscribe', 'sensors/#') &&
      !policy.as({ groups: ['operators'] }).allows('publish', 'sensors/a'),
  )
  assert.equal(policy.as(sensor).decide('publish', 'sensors/t/data', { qos: 2 }).qos, 1)
  const dropped = policy.notes.filter(({ kind }) => kind === 'dropped').map(({ path }) => path)
  assert.deepEqual(dropped, ['auth', 'inspection', 'rate-limit', 'qos', 'retained', 'general'])
})
