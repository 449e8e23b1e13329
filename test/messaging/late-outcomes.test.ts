import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { AuditEvent } from '#src/audit/audit.ts'
import { systemClock } from '#src/core/clock.ts'
import { AppError } from '#src/core/errors.ts'
import { createLateOutcomes, type LateOutcome } from '#src/messaging/late-outcomes.ts'
import { memoryAudit } from '#test/support/deployment.ts'

const lateOf = (messageId: string, delivery: LateOutcome['delivery'], tenantId = 'ten_1'): LateOutcome => ({
  tenantId,
  integrationId: 'int_1',
  messageId,
  topic: 'a/b',
  delivery,
})

function parts() {
  const audit = memoryAudit()
  const lost: number[] = []
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (fields: object) => lost.push((fields as { lost: number }).lost),
  }
  return { audit, lost, late: createLateOutcomes({ audit, clock: systemClock, log }) }
}

test('an acknowledgement, a refusal and a late QoS 0 are on record as what they are', async () => {
  const { audit, lost, late } = parts()
  late.record(lateOf('msg_1', { state: 'acknowledged', reasonCode: 16 }))
  late.record(lateOf('msg_2', { state: 'refused', reasonCode: 0x97 }))
  late.record(lateOf('msg_3', { state: 'sent' }))
  await late.close()
  const said = audit.events.map(({ action, outcome, messageId, detail }) => ({ action, outcome, messageId, detail }))
  assert.deepEqual(said, [
    {
      action: 'proxy.publish.late',
      outcome: 'success',
      messageId: 'msg_1',
      detail: { topic: 'a/b', outcome: 'acknowledged', reason_code: 16 },
    },
    {
      action: 'proxy.publish.late',
      outcome: 'failure',
      messageId: 'msg_2',
      detail: { topic: 'a/b', outcome: 'rejected', reason_code: 0x97 },
    },
    {
      action: 'proxy.publish.late',
      outcome: 'success',
      messageId: 'msg_3',
      detail: { topic: 'a/b', outcome: 'sent', reason_code: null },
    },
  ])
  assert.deepEqual(lost, [])
})

test('what the audit log does not take is tried again, and one tenant does not hold up another', async () => {
  const { audit, lost, late } = parts()
  const recorded: AuditEvent[] = []
  const { promise: both, resolve } = Promise.withResolvers<void>()
  audit.record = async (...events) => {
    if (events[0]?.tenantId === 'ten_bad' && recorded.length === 0) throw new AppError('audit.unavailable', 'away')
    recorded.push(...events)
    if (recorded.length === 2) resolve()
  }
  late.record(lateOf('msg_1', { state: 'acknowledged', reasonCode: 0 }, 'ten_bad'))
  late.record(lateOf('msg_2', { state: 'acknowledged', reasonCode: 0 }, 'ten_good'))
  await both
  assert.deepEqual(
    recorded.map(({ messageId }) => messageId),
    ['msg_2', 'msg_1'],
  )
  await late.close()
  assert.deepEqual(lost, [])
})

test('a stop waits for one attempt, however many tenants wait and however slowly their rows are refused', async () => {
  const { audit, lost, late } = parts()
  audit.record = async () => {
    await delay(300)
    throw new AppError('audit.unavailable', 'away')
  }
  for (let i = 0; i < 100; i++) late.record(lateOf(`msg_${i}`, { state: 'acknowledged', reasonCode: 0 }, `ten_${i}`))
  const startedMs = performance.now()
  await assert.rejects(late.close(), { code: 'audit.unavailable' })
  const tookMs = performance.now() - startedMs
  assert.ok(tookMs < 3_000, `${tookMs} ms, where one after the other takes thirty seconds`)
  assert.deepEqual(lost, [100])
})

test('at most 1,024 wait, none waits for ever, and what is lost is counted', async () => {
  const { audit, lost, late } = parts()
  audit.failing = true
  for (let i = 0; i < 1_030; i++) late.record(lateOf(`msg_${i}`, { state: 'acknowledged', reasonCode: 0 }))
  await assert.rejects(late.close(), { code: 'audit.unavailable' })
  assert.deepEqual(lost, [1_030])
  assert.equal(audit.events.length, 0)
})
