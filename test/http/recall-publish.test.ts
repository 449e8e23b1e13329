import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { recallPublish } from '#src/http/proxy/recall-publish.ts'
import type { MessageStatus } from '#src/messaging/message-status.ts'

const AT = '2026-11-28T09:00:00.000100Z'
const LATER = '2026-11-28T09:00:12.000200Z'
const status: MessageStatus = {
  message_id: 'msg_1',
  integration_id: 'int_1',
  request_id: 'req_1',
  state: 'acknowledged',
  reason_code: 0,
  code: null,
  topic: 'a/b',
  qos: 1,
  retain: false,
  intended_at: AT,
  settled_at: LATER,
  late: null,
}
const counts = { acknowledged: 0, sent: 0, rejected: 0, unavailable: 0, denied: 0, unknown: 0 }

type Ask = Parameters<typeof recallPublish>
function recall(found: MessageStatus | undefined, body: Partial<Ask[2]> = {}) {
  const asked: [string, string][] = []
  const findMessage = async (tenantId: string, messageId: string) => {
    asked.push([tenantId, messageId])
    return found
  }
  const request = { caller: { tenantId: 'ten_1' } } as Ask[1]
  const whole = { operation: 'publish', integration_id: 'int_1', payload: {}, ...body } as Ask[2]
  return recallPublish({ findMessage }, request, whole, 'msg_1').then((recalled) => ({ recalled, asked }))
}

test('an acknowledgement on record is the answer, with the times of the record and the topic of the request', async () => {
  const topic = 'x'.repeat(300)
  const { recalled, asked } = await recall(status, { payload: { topic } } as Partial<Ask[2]>)
  assert.deepEqual(asked, [['ten_1', 'msg_1']])
  assert.deepEqual(recalled, {
    data: {
      outcome: 'acknowledged',
      message_id: 'msg_1',
      integration_id: 'int_1',
      topic,
      qos: 1,
      retain: false,
      reason_code: 0,
      sent_at: AT,
      acknowledged_at: LATER,
    },
    status: 200,
    subject: 'int_1',
  })
})

const answers: { what: string; found: MessageStatus; outcome: string; status: number }[] = [
  { what: 'QoS 0', found: { ...status, state: 'sent', qos: 0, reason_code: null }, outcome: 'sent', status: 202 },
  {
    what: 'nobody subscribes',
    found: { ...status, no_subscribers: true, reason_code: 16 },
    outcome: 'acknowledged',
    status: 202,
  },
  {
    what: 'late',
    found: { ...status, late: { state: 'acknowledged', reason_code: 0, at: LATER } },
    outcome: 'acknowledged',
    status: 200,
  },
]
for (const { what, found, outcome, status: wanted } of answers) {
  test(`${what} on record: ${outcome}, ${wanted}`, async () => {
    const { recalled } = await recall(found)
    assert.ok(typeof recalled === 'object' && !(recalled instanceof AppError))
    assert.deepEqual([recalled.data.outcome, recalled.status], [outcome, wanted])
    assert.equal(recalled.data.acknowledged_at, outcome === 'sent' ? null : LATER)
  })
}

const rejectedLate = { state: 'rejected', reason_code: 0x97, at: LATER } as const
const verdicts: {
  what: string
  found: MessageStatus | undefined
  body?: Partial<Ask[2]>
  is: 'nothing' | 'unknown'
}[] = [
  { what: 'nothing is on record', found: undefined, is: 'nothing' },
  { what: 'a dry run', found: status, body: { dry_run: true }, is: 'nothing' },
  { what: 'the broker was not reached', found: { ...status, state: 'unavailable' }, is: 'nothing' },
  { what: 'the broker refused', found: { ...status, state: 'rejected' }, is: 'nothing' },
  { what: 'denied', found: { ...status, state: 'denied' }, is: 'nothing' },
  { what: 'unknown', found: { ...status, state: 'unknown' }, is: 'unknown' },
  { what: 'in progress', found: { ...status, state: 'in_progress' }, is: 'unknown' },
  {
    what: 'a batch of which all went out: its items are not on record',
    found: { ...status, items: { ...counts, acknowledged: 3 } },
    is: 'unknown',
  },
  {
    what: 'a batch of which nothing went out',
    found: { ...status, state: 'mixed', items: { ...counts, denied: 1, unavailable: 2 } },
    is: 'nothing',
  },
  {
    what: 'a batch of which one is unknown',
    found: { ...status, state: 'mixed', items: { ...counts, denied: 1, unknown: 1 } },
    is: 'unknown',
  },
  { what: 'a request: its reply is not on record', found: status, body: { operation: 'request' }, is: 'unknown' },
  {
    what: 'a request that was not sent',
    found: { ...status, state: 'unavailable' },
    body: { operation: 'request' },
    is: 'nothing',
  },
]
for (const { what, found, body, is } of verdicts) {
  test(`${what}: ${is}`, async () => assert.equal((await recall(found, body)).recalled, is))
}

test('a refusal that came late is told as what it is', async () => {
  const { recalled } = await recall({ ...status, state: 'rejected', reason_code: 0x97, late: rejectedLate })
  assert.ok(recalled instanceof AppError)
  assert.deepEqual([recalled.code, recalled.details?.['reason_code']], ['broker.rejected', 0x97])
})
