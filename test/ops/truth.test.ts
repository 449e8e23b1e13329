import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Seen } from '../../scripts/bench/truth-broker.ts'
import { isStrange, judgeTruth, type Said } from '../../scripts/bench/truth-verdict.ts'

const seen: Seen = { publishes: 1, acknowledged: false, refusedWith: undefined }
const said: Said = { number: '1', end: 'acknowledged', outcome: 'acknowledged', messageId: 'm', reasonCode: 0, ms: 10 }
const logOf = (one: Partial<Seen> | undefined, id = 'm') => ({
  byMessageId: new Map(one ? [[id, { ...seen, ...one }]] : []),
  byPayload: new Map(one ? [['1', [id]]] : []),
})
const unknown = { end: 'outcome.unknown', outcome: 'unknown' } as const
const unreachable = { end: 'broker.unreachable', outcome: 'unavailable', messageId: undefined } as const
const refused = { end: 'broker.rejected', outcome: 'rejected', messageId: undefined, reasonCode: 0x97 } as const

const cases: readonly { why: string; said: Partial<Said>; log: ReturnType<typeof logOf>; finds: object }[] = [
  { why: 'acknowledged with a PUBACK', said: {}, log: logOf({ acknowledged: true }), finds: {} },
  { why: 'acknowledged without one', said: {}, log: logOf({}), finds: { falseAcknowledged: 1 } },
  { why: 'acknowledged, and never seen', said: {}, log: logOf(undefined), finds: { falseAcknowledged: 1 } },
  { why: 'acknowledged, and refused', said: {}, log: logOf({ refusedWith: 0x97 }), finds: { falseAcknowledged: 1 } },
  {
    why: 'the acknowledgement of another message',
    said: {},
    log: logOf({ acknowledged: true }, 'other'),
    finds: { falseAcknowledged: 1 },
  },
  { why: 'nothing was sent, and so it is', said: unreachable, log: logOf(undefined), finds: {} },
  { why: 'nothing was sent, and it was', said: unreachable, log: logOf({}), finds: { falseRejected: 1 } },
  { why: 'refused, and so it is', said: refused, log: logOf({ refusedWith: 0x97 }), finds: {} },
  { why: 'refused before it was sent', said: refused, log: logOf(undefined), finds: {} },
  { why: 'refused with another code', said: refused, log: logOf({ refusedWith: 0x87 }), finds: { falseRejected: 1 } },
  { why: 'refused, and acknowledged', said: refused, log: logOf({ acknowledged: true }), finds: { falseRejected: 1 } },
  { why: 'unknown, whatever the broker saw', said: unknown, log: logOf({ acknowledged: true }), finds: {} },
  { why: 'unknown under another id', said: unknown, log: logOf({}, 'other'), finds: { wrongMessageIds: 1 } },
  {
    why: 'unknown without an envelope',
    said: { end: 'bare outcome.unknown', outcome: 'unknown', messageId: undefined },
    log: logOf({}),
    finds: {},
  },
  {
    why: 'unknown without an id',
    said: { ...unknown, messageId: undefined },
    log: logOf({}),
    finds: { wrongMessageIds: 1 },
  },
  { why: 'seen twice', said: {}, log: logOf({ publishes: 2, acknowledged: true }), finds: { duplicates: 1 } },
  { why: 'late', said: { ms: 1_251 }, log: logOf({ acknowledged: true }), finds: { inTime: 0 } },
]
for (const { why, said: more, log, finds } of cases) {
  test(`the verdict over ${why}`, () => {
    const verdict = judgeTruth([{ ...said, ...more }], log, 1_250)
    const { falseAcknowledged, falseRejected, wrongMessageIds, duplicates, inTime } = verdict
    const clean = { falseAcknowledged: 0, falseRejected: 0, wrongMessageIds: 0, duplicates: 0, inTime: 1 }
    assert.deepEqual({ falseAcknowledged, falseRejected, wrongMessageIds, duplicates, inTime }, { ...clean, ...finds })
  })
}

test('an answer that was lost, or failed for a reason of its own, is no verdict', () => {
  const strange = ['network', 'timeout', 'unprotected', 'bare broker.busy', 'envelope.rejected', 'internal', 'sent']
  assert.deepEqual(
    strange.filter((end) => !isStrange({ ...said, end })),
    [],
  )
  assert.ok(!isStrange(said))
})
