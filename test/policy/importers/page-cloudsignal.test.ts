import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '#src/policy/identity.ts'
import { preset } from '#src/policy/presets/preset.ts'
import { hasNote, imported } from './imported.ts'

/** "Security & ACL" (MQTT.Agent by CloudSignal), acl-policy.json. */
const aclPolicy = `{
  "version": "2.0",
  "default_action": "deny",
  "rules": [{
    "topic": "/{email}/inbox",
    "action": "subscribe",
    "effect": "allow"
  }, {
    "topic": "/broadcast/#",
    "action": "subscribe",
    "effect": "allow"
  }]
}`

/** The claims beside it, in the members that they come to here. */
const claims: Identity = {
  sub: 'user_a8b2c3',
  claims: { email: 'alice@acme.io', agent_id: 'agent_research_42', session_id: 'sess_zk9p2x', role: 'engineer' },
}

test('"Security & ACL", acl-policy.json: the worked decisions hold once the slash at the front is off', () => {
  const policy = imported('cloudsignal', aclPolicy, { stripLeadingSlash: true })
  const alice = policy.as(claims)
  assert.deepEqual(
    [alice.decide('subscribe', 'alice@acme.io/inbox').decision, alice.decide('subscribe', 'alice@acme.io/inbox').rule],
    ['allow', 'rule-0'],
  )
  const agent = imported('cloudsignal', {
    version: '2.0',
    default_action: 'deny',
    rules: [{ topic: '{agent_id}/inbox', action: 'subscribe', effect: 'allow' }],
  }).as(claims)
  assert.deepEqual(
    [
      agent.decide('subscribe', 'agent_planning_91/inbox').decision,
      agent.decide('subscribe', 'agent_planning_91/inbox').rule,
    ],
    ['deny', null],
  )
  assert.ok(
    alice.allows('subscribe', 'broadcast/news') &&
      !alice.allows('publish', 'broadcast/news') &&
      !alice.allows('subscribe', 'bob@acme.io/inbox'),
  )
})

test('"Security & ACL", acl-policy.json: as written the slash belongs to the topic, which is told', () => {
  const policy = imported('cloudsignal', aclPolicy)
  const alice = policy.as(claims)
  assert.ok(alice.allows('subscribe', '/alice@acme.io/inbox') && alice.allows('subscribe', '/broadcast/#'))
  assert.ok(!alice.allows('subscribe', 'alice@acme.io/inbox'))
  assert.ok(hasNote(policy, 'ambiguous', 'rules[0].topic') && hasNote(policy, 'ambiguous', 'rules[1].topic'))
})

test('"Security & ACL", claim → ACL binding: each variable is the claim that the page names', () => {
  const bindings = {
    user_id: 'user_a8b2c3',
    email: 'alice@acme.io',
    agent_id: 'agent_research_42',
    session_id: 'sess_zk9p2x',
    role: 'engineer',
    client_id: 'c1',
  }
  for (const [name, value] of Object.entries(bindings)) {
    const subject = imported('cloudsignal', {
      version: '2.0',
      default_action: 'deny',
      rules: [{ topic: `{${name}}/inbox`, action: 'subscribe', effect: 'allow' }],
    }).as({ ...claims, clientId: 'c1' })
    assert.ok(subject.allows('subscribe', `${value}/inbox`) && !subject.allows('subscribe', 'other/inbox'), name)
  }
})

test('"Security & ACL", 5 Preset Templates: each has its counterpart', () => {
  for (const name of ['permit-all', 'notifications', 'agents', 'chat', 'blank'] as const)
    assert.equal(preset(name).id, name)
})
