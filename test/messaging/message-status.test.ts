import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditRow } from '#src/audit/row.ts'
import { newId } from '#src/core/ids.ts'
import { type MessageStatus, messageStatus } from '#src/messaging/message-status.ts'

const AT = Date.parse('2026-11-28T09:00:00.000Z')
const id = newId('msg')
const integrationId = newId('int')

function row(action: string, outcome: AuditRow['outcome'], detail: AuditRow['detail'] = {}, messageId = id): AuditRow {
  return {
    id: newId('aud'),
    tenant_id: newId('ten'),
    seq: 1,
    at: new Date(AT).toISOString(),
    action: `proxy.publish.${action}`,
    outcome,
    actor: { id: 'system', address: null, user_agent: null },
    object: { kind: 'integration', id: integrationId },
    request_id: 'req_1',
    message_id: messageId,
    detail,
  }
}

const intent = row('intent', 'success', { topic: 'a/b', qos: 2, forwarded_qos: 1, retain: true, deadline_ms: 10_000 })
const outcome = (said: AuditRow['outcome'], detail: AuditRow['detail']) => row('outcome', said, detail)
const unknown = outcome('unknown', { code: 'outcome.unknown' })
const swept = outcome('unknown', { swept: true })
const late = (state: string, reasonCode: number | null = 0) =>
  row('late', state === 'rejected' ? 'failure' : 'success', { outcome: state, reason_code: reasonCode })
const acknowledged = outcome('success', { outcome: 'acknowledged', reason_code: 0 })

const cases: { what: string; rows: AuditRow[]; afterMs?: number; is: Partial<MessageStatus> }[] = [
  { what: 'an intent within its deadline', rows: [intent], afterMs: 14_999, is: { state: 'in_progress', code: null } },
  { what: 'an intent whose time is over', rows: [intent], afterMs: 15_000, is: { state: 'unknown' } },
  {
    what: 'an intent that the sweeper closed',
    rows: [intent, swept],
    is: { state: 'unknown', code: 'outcome.unknown' },
  },
  {
    what: 'an acknowledgement',
    rows: [intent, acknowledged],
    is: { state: 'acknowledged', reason_code: 0, code: null },
  },
  { what: 'an outcome and the sweeper', rows: [intent, swept, acknowledged], is: { state: 'acknowledged' } },
  {
    what: 'nobody subscribes',
    rows: [intent, outcome('success', { outcome: 'acknowledged', reason_code: 16 })],
    is: { state: 'acknowledged', no_subscribers: true, reason_code: 16 },
  },
  { what: 'QoS 0', rows: [intent, outcome('success', { outcome: 'sent' })], is: { state: 'sent', reason_code: null } },
  {
    what: 'a refusal of the broker',
    rows: [intent, outcome('failure', { code: 'broker.rejected', reason_code: 0x87 })],
    is: { state: 'rejected', reason_code: 0x87, code: 'broker.rejected' },
  },
  {
    what: 'a broker that was not reached',
    rows: [intent, outcome('failure', { code: 'broker.unreachable' })],
    is: { state: 'unavailable', code: 'broker.unreachable' },
  },
  {
    what: 'a destination that is not allowed',
    rows: [intent, outcome('failure', { code: 'destination.not_allowed' })],
    is: { state: 'rejected', code: 'destination.not_allowed' },
  },
  { what: 'a failure of ours', rows: [intent, outcome('failure', { code: 'internal' })], is: { state: 'unknown' } },
  {
    what: 'a policy that changed while it waited',
    rows: [intent, outcome('denied', { code: 'policy.denied' })],
    is: { state: 'denied', code: 'policy.denied' },
  },
  { what: 'a refusal by policy', rows: [row('denied', 'denied', { topic: 'x' })], is: { state: 'denied', topic: 'x' } },
  { what: 'unknown', rows: [intent, unknown], is: { state: 'unknown', late: null } },
  {
    what: 'unknown, then acknowledged',
    rows: [intent, unknown, late('acknowledged')],
    is: { state: 'acknowledged', reason_code: 0 },
  },
  {
    what: 'a late word before the outcome row',
    rows: [intent, late('acknowledged'), unknown],
    is: { state: 'acknowledged' },
  },
  { what: 'a late word without an outcome row', rows: [intent, late('acknowledged')], is: { state: 'acknowledged' } },
  {
    what: 'unknown, then refused',
    rows: [intent, unknown, late('rejected', 0x97)],
    is: { state: 'rejected', reason_code: 0x97 },
  },
]
for (const { what, rows, afterMs = 0, is } of cases) {
  test(`${what}: ${is.state}`, () => {
    const status = messageStatus(id, rows, AT + afterMs)
    assert.ok(status)
    for (const [member, value] of Object.entries(is)) {
      assert.deepEqual(status[member as keyof MessageStatus], value, member)
    }
    assert.deepEqual([status.message_id, status.integration_id], [id, integrationId])
  })
}

test('it says what was forwarded, since when, and what the broker said late', () => {
  const at = new Date(AT).toISOString()
  const status = messageStatus(id, [intent, unknown, late('acknowledged')], AT)
  assert.deepEqual(
    { ...status },
    {
      message_id: id,
      integration_id: integrationId,
      request_id: 'req_1',
      state: 'acknowledged',
      reason_code: 0,
      code: 'outcome.unknown',
      topic: 'a/b',
      qos: 1,
      retain: true,
      intended_at: at,
      settled_at: at,
      late: { state: 'acknowledged', reason_code: 0, at },
    },
  )
})

test('neither no rows, nor those of a dry run or of something else, are about a message', () => {
  const dry = { ...intent, detail: { ...intent.detail, dry_run: true } }
  for (const rows of [[], [dry, outcome('success', { outcome: 'dry_run' })], [row('outcome', 'success')]]) {
    assert.equal(messageStatus(id, rows, AT), undefined)
  }
  assert.equal(messageStatus(`${id}.0`, [intent, acknowledged], AT, 0), undefined, 'one message is no batch')
})

const batch = row('intent', 'success', { items: 5, deadline_ms: 10_000 })
const batchOutcome = outcome('success', { items: 5, item_outcomes: '2a 1u 1r 1x' })
const states = ['acknowledged', 'acknowledged', 'unknown', 'rejected', 'unavailable']

test('each message of a batch has its own end, and the batch counts them', () => {
  for (const [item, state] of states.entries()) {
    const status = messageStatus(`${id}.${item}`, [batch, batchOutcome], AT, item)
    assert.deepEqual([status?.message_id, status?.state, status?.topic], [`${id}.${item}`, state, null])
  }
  assert.equal(messageStatus(`${id}.5`, [batch, batchOutcome], AT, 5), undefined)
  const whole = messageStatus(id, [batch, batchOutcome], AT)
  assert.equal(whole?.state, 'mixed')
  assert.deepEqual(whole?.items, { acknowledged: 2, sent: 0, rejected: 1, unavailable: 1, denied: 0, unknown: 1 })
  assert.equal(messageStatus(`${id}.1`, [batch], AT, 1)?.state, 'in_progress')
})

test('what the row of a batch says of its first failure is not said of every message', () => {
  const because = { code: 'broker.rejected', reason_code: 0x87 }
  const partial = outcome('failure', { items: 5, outcome: 'partial', item_outcomes: '2a 1u 1r 1x', ...because })
  const codes = states.map((_, item) => {
    const status = messageStatus(`${id}.${item}`, [batch, partial], AT, item)
    return [status?.code, status?.reason_code]
  })
  const none = [null, null]
  assert.deepEqual(codes, [none, none, ['outcome.unknown', null], none, none])
  const whole = messageStatus(id, [batch, partial], AT)
  assert.deepEqual([whole?.code, whole?.reason_code], none, 'it was answered, and not refused')
  const refused = outcome('failure', { items: 5, outcome: 'rejected', item_outcomes: '5r', ...because })
  assert.equal(messageStatus(id, [batch, refused], AT)?.code, 'broker.rejected')
})

test('a message of a batch may be denied on its own, and acknowledged late on its own', () => {
  const denied = row('denied', 'denied', { topic: 'x/y' }, `${id}.1`)
  const word = row('late', 'success', { outcome: 'acknowledged', reason_code: 0 }, `${id}.2`)
  const rows = [denied, batch, batchOutcome, word]
  assert.deepEqual(
    [0, 1, 2].map((item) => messageStatus(`${id}.${item}`, rows, AT, item)?.state),
    ['acknowledged', 'denied', 'acknowledged'],
  )
  assert.equal(messageStatus(`${id}.3`, rows, AT, 3)?.late, null)
})

test('outcomes of a batch that cannot be read are unknown', () => {
  const broken = outcome('success', { items: 5, item_outcomes: '2a 1u…' })
  assert.equal(messageStatus(`${id}.0`, [batch, broken], AT, 0)?.state, 'unknown')
  assert.equal(messageStatus(id, [batch, broken], AT)?.state, 'unknown')
})
