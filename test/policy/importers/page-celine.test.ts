import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CelineRule, CelineSubject } from './celine-model.ts'
import { allowsMask, celineIdentity } from './celine-subject.ts'
import { imported } from './imported.ts'

/** "MQTT Integration" (CELINE), section ACL Configuration. */
const aclConfiguration = `{
  "celine": {
    "mqtt": {
      "acl": {
        "rules": [
          {
            "subjects": { "groups": ["admins"] },
            "topics": ["#"],
            "actions": "*",
            "effect": "allow"
          },
          {
            "subjects": {
              "types": ["service"],
              "scopes": ["mqtt.write"]
            },
            "topics": ["celine/digital-twin/events/#"],
            "actions": ["publish"],
            "effect": "allow"
          }
        ]
      }
    },
    "roles": {
      "group_permissions": {
        "admins": ["subscribe", "read", "publish", "superuser"],
        "managers": ["subscribe", "read", "publish"],
        "editors": ["subscribe", "read", "publish"],
        "viewers": ["subscribe", "read"]
      },
      "scope_permissions": {
        "mqtt.admin": ["subscribe", "read", "publish", "superuser"],
        "mqtt.read": ["subscribe", "read"],
        "mqtt.write": ["publish"]
      }
    }
  }
}`
const { roles } = (JSON.parse(aclConfiguration) as { celine: { roles: object } }).celine

/** Section Example ACL Rules. */
const examples = `[
{
  "subjects": {
    "types": ["service"],
    "scopes": ["mqtt.write"]
  },
  "topics": ["celine/digital-twin/events/#", "celine/digital-twin/state/#"],
  "actions": ["publish"],
  "effect": "allow"
},
{
  "subjects": {
    "types": ["user"],
    "groups": ["viewers"]
  },
  "topics": ["celine/telemetry/+/+/readings"],
  "actions": ["subscribe", "read"],
  "effect": "allow"
},
{
  "subjects": {
    "types": ["service"],
    "ids": ["svc-pipelines"]
  },
  "topics": ["celine/pipelines/status/+", "celine/pipelines/events/#"],
  "actions": ["publish"],
  "effect": "allow"
},
{
  "subjects": {
    "types": ["user"],
    "groups": ["viewers"]
  },
  "topics": ["celine/system/alerts/critical"],
  "actions": ["subscribe"],
  "effect": "deny"
}
]`

/** Section ACL Rule Structure. */
const structure = `{
  "subjects": {
    "types": ["user", "service"],
    "ids": ["specific-client-id"],
    "groups": ["viewers", "editors"],
    "scopes": ["mqtt.read", "mqtt.write"]
  },
  "topics": ["celine/telemetry/#", "celine/+/events/+"],
  "actions": ["subscribe", "read", "publish"],
  "effect": "allow"
}`

const service = (id: string, ...scopes: string[]): CelineSubject => ({ id, type: 'service', groups: [], scopes })
const user = (...groups: string[]): CelineSubject => ({ id: 'u', type: 'user', groups, scopes: [] })
const parse = (text: string) => JSON.parse(text) as CelineRule[]

test('"MQTT Integration", ACL Configuration: administrators have everything, services publish events', () => {
  const policy = imported('celine', aclConfiguration)
  const administrator = policy.as(celineIdentity(user('admins')))
  assert.ok(
    administrator.allows('subscribe', '#') &&
      administrator.allows('publish', 'any/topic') &&
      administrator.allows('receive', 'celine/x'),
  )
  const writer = policy.as(celineIdentity(service('svc', 'mqtt.write')))
  assert.ok(
    writer.allows('publish', 'celine/digital-twin/events/pump/pump-001') &&
      !writer.allows('subscribe', 'celine/digital-twin/events/#'),
  )
  assert.ok(
    !policy.as(celineIdentity(user('viewers'))).allows('subscribe', 'celine/x'),
    'a capability alone is not enough',
  )
})

test('"MQTT Integration", Debugging: the mask of the request is allowed to the service with mqtt.write', () => {
  const policy = imported('celine', aclConfiguration)
  assert.ok(allowsMask(policy, service('svc-test', 'mqtt.write'), 'celine/digital-twin/events/pump/1', 2))
  assert.ok(!allowsMask(policy, service('svc-test', 'mqtt.read'), 'celine/digital-twin/events/pump/1', 2))
  assert.ok(!allowsMask(policy, service('svc-test', 'mqtt.write'), 'celine/digital-twin/events/pump/1', 6))
})

test('"MQTT Integration", Example ACL Rules: each does what its title says', () => {
  const policy = imported('celine', { rules: parse(examples), roles })
  const [twin, viewer, pipelines] = [
    service('svc-digital-twin', 'mqtt.write'),
    user('viewers'),
    service('svc-pipelines', 'mqtt.write'),
  ].map((one) => policy.as(celineIdentity(one)))
  assert.ok(twin && viewer && pipelines)
  assert.ok(
    twin.allows('publish', 'celine/digital-twin/state/pump/pump-001') &&
      !twin.allows('publish', 'celine/pipelines/status/etl-daily'),
  )
  assert.ok(
    viewer.allows('subscribe', 'celine/telemetry/meter/meter-001/readings') &&
      viewer.allows('receive', 'celine/telemetry/meter/m/readings'),
  )
  assert.ok(
    viewer.allows('subscribe', 'celine/telemetry/+/+/readings') && !viewer.allows('subscribe', 'celine/telemetry/#'),
  )
  assert.ok(
    pipelines.allows('publish', 'celine/pipelines/status/etl-daily') &&
      pipelines.allows('publish', 'celine/pipelines/events/etl-daily/started'),
  )
  assert.ok(!pipelines.allows('publish', 'celine/pipelines/status/a/b'))
})

test('"MQTT Integration", Deny Specific Topic: it denies, also where another rule allows and a wildcard would get around it', () => {
  const rules = [
    ...parse(examples),
    { subjects: { groups: ['viewers'] }, topics: ['celine/system/#'], actions: ['subscribe', 'read'] },
  ]
  const viewer = imported('celine', { rules, roles }).as(celineIdentity(user('viewers')))
  assert.ok(viewer.allows('subscribe', 'celine/system/health/x'))
  for (const filter of ['celine/system/alerts/critical', 'celine/system/alerts/+', 'celine/system/#'])
    assert.ok(!viewer.allows('subscribe', filter), filter)
})

test('"MQTT Integration", ACL Rule Structure: every field has to fit', () => {
  const policy = imported('celine', { rules: [JSON.parse(structure)], roles })
  const fitting: CelineSubject = { id: 'specific-client-id', type: 'user', groups: ['viewers'], scopes: ['mqtt.write'] }
  assert.ok(policy.as(celineIdentity(fitting)).allows('publish', 'celine/dt/events/x'))
  for (const change of [
    { id: 'x' },
    { type: 'anonymous' },
    { groups: ['admins'] },
    { scopes: ['mqtt.admin'] },
  ] as const)
    assert.ok(
      !policy.as(celineIdentity({ ...fitting, ...change })).allows('publish', 'celine/dt/events/x'),
      JSON.stringify(change),
    )
})

test('"MQTT Integration", MQTT Scopes: each scope permits what the table says, where a rule lets it', () => {
  const rules = [{ subjects: { types: ['service'] }, topics: ['celine/#'], actions: '*' }]
  const policy = imported('celine', { rules, roles })
  const permitted = {
    'mqtt.read': ['subscribe', 'receive'],
    'mqtt.write': ['publish'],
    'mqtt.admin': ['publish', 'subscribe', 'receive'],
    'mqtt.other': [],
  }
  for (const [scope, actions] of Object.entries(permitted)) {
    const subject = policy.as(celineIdentity(service('s', scope)))
    assert.deepEqual(
      (['publish', 'subscribe', 'receive'] as const).filter((action) =>
        subject.allows(action, 'celine/dt/state/pump/1'),
      ),
      actions,
      scope,
    )
  }
})

test('"MQTT Integration", Topic Wildcards: the examples of the table match', () => {
  const rule = (topic: string) =>
    imported('celine', { rules: [{ subjects: {}, topics: [topic], actions: ['read'] }], roles }).as(
      celineIdentity(user('viewers')),
    )
  assert.ok(
    rule('celine/+/events').allows('receive', 'celine/dt/events') &&
      rule('celine/dt/#').allows('receive', 'celine/dt/state/pump/1'),
  )
})
