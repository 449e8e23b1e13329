import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actions, assertKnownEvent, isIntent, outcomeOf } from '#src/audit/actions.ts'
import type { AuditEvent } from '#src/audit/audit.ts'

const event: AuditEvent = {
  tenantId: 'ten_x',
  action: 'proxy.publish.intent',
  outcome: 'success',
  actor: { id: 'key_x' },
  requestId: 'req_x',
  detail: { topic: 'a/b', qos: 1 },
}

test('a known action with its own members passes', () => assert.doesNotThrow(() => assertKnownEvent(event)))

const { requestId: _, ...withoutId } = event
const mistakes: [string, AuditEvent][] = [
  ['an unknown action', { ...event, action: 'proxy.publish.intend' }],
  ['an action from the prototype', { ...event, action: 'toString' }],
  ['a member of no action', { ...event, detail: { payload: 'secret' } }],
  ['a member of another action', { ...event, detail: { credential_type: 'custom_kv' } }],
  ['a number that JSON cannot carry', { ...event, detail: { qos: Number.NaN } }],
  ['an intent that nothing could close', withoutId],
]
for (const [what, mistaken] of mistakes) {
  test(`a mistake of the program throws: ${what}`, () => assert.throws(() => assertKnownEvent(mistaken), TypeError))
}

test('every intent in the table has its outcome, and no member could hold a payload or a secret', () => {
  const names = Object.keys(actions)
  const intents = names.filter(isIntent)
  assert.ok(intents.length >= 2)
  for (const intent of intents) assert.ok(names.includes(outcomeOf(intent)), intent)
  const members = Object.values(actions).flat()
  assert.ok(members.length > 50)
  for (const member of members) assert.doesNotMatch(member, /^(payload|message|values?|password|secret|key|token)$/)
})
