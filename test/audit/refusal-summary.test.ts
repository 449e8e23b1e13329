import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertKnownEvent } from '#src/audit/actions.ts'
import type { AuditEvent } from '#src/audit/audit.ts'
import { createRefusalSummary, limitedEvent, limitedSource } from '#src/audit/refusal-summary.ts'
import { AppError } from '#src/core/errors.ts'
import { NO_TENANT } from '#src/core/ids.ts'
import { isUnavailable } from './parts.ts'

const START = Date.parse('2026-11-03T12:00:30Z')

function parts() {
  const clock = { nowMs: START, now: () => clock.nowMs, monotonic: () => clock.nowMs }
  const events: AuditEvent[] = []
  const audit = {
    fails: false,
    async record(...recorded: readonly AuditEvent[]) {
      if (audit.fails) throw new AppError('audit.unavailable', 'down')
      for (const event of recorded) assertKnownEvent(event)
      events.push(...recorded)
    },
  }
  const rows = () => events.map(({ detail }) => [detail?.source, detail?.count, String(detail?.minute).slice(11, 16)])
  return { clock, audit, events, rows, summary: createRefusalSummary({ audit, clock }) }
}

test('refusals become one row for each source and minute, once the minute is over', async () => {
  const { clock, summary, events, rows } = parts()
  for (const source of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) summary.count(source)
  await summary.flush()
  assert.equal(events.length, 0)
  clock.nowMs += 30_000
  summary.count('192.0.2.1')
  await summary.flush()
  const first = [
    ['192.0.2.1', 2, '12:00'],
    ['192.0.2.2', 1, '12:00'],
  ]
  assert.deepEqual(rows(), first)
  await summary.flush()
  assert.deepEqual(rows(), first)
  await summary.close()
  assert.deepEqual(rows(), [...first, ['192.0.2.1', 1, '12:01']])
  for (const event of events) assert.equal(event.tenantId, NO_TENANT)
})

test('what could not be recorded is recorded the next time, with nothing lost and nothing twice', async () => {
  const { clock, summary, audit, rows } = parts()
  summary.count('192.0.2.1')
  clock.nowMs += 60_000
  audit.fails = true
  await assert.rejects(summary.flush(), isUnavailable)
  audit.fails = false
  await summary.flush()
  assert.deepEqual(rows(), [['192.0.2.1', 1, '12:00']])
})

test('a flood from many sources takes a bounded number of counters', async () => {
  const { summary, rows } = parts()
  for (let i = 0; i < 10_500; i++) summary.count(`source-${i}`)
  await summary.close()
  const counted = rows()
  assert.equal(counted.length, 10_001)
  assert.deepEqual(counted.at(-1)?.slice(0, 2), ['others', 500])
})

test('refusals by a limit are one row for a key, a code and a minute, in the chain of its tenant', async () => {
  const { clock, audit, events } = parts()
  const summary = createRefusalSummary({ audit, clock, eventOf: limitedEvent })
  const consumer = { tenantId: 'ten_1', keyId: 'key_1' }
  for (let i = 0; i < 1000; i++) summary.count(limitedSource(consumer, 'rate.limited'))
  summary.count(limitedSource(consumer, 'server.busy'))
  summary.count(limitedSource({ tenantId: 'ten_2', keyId: 'key_2' }, 'rate.limited'))
  await summary.close()
  assert.deepEqual(
    events.map(({ tenantId, action, actor, detail }) => [
      tenantId,
      action,
      actor.id,
      detail?.['code'],
      detail?.['count'],
    ]),
    [
      ['ten_1', 'request.limited_summary', 'key_1', 'rate.limited', 1000],
      ['ten_1', 'request.limited_summary', 'key_1', 'server.busy', 1],
      ['ten_2', 'request.limited_summary', 'key_2', 'rate.limited', 1],
    ],
  )
})

test('a flood of refusals by a limit from many keys goes to the chain of the deployment when it is too much to tell apart', async () => {
  const { clock, audit, events } = parts()
  const summary = createRefusalSummary({ audit, clock, eventOf: limitedEvent })
  for (let i = 0; i < 10_001; i++)
    summary.count(limitedSource({ tenantId: 'ten_1', keyId: `key_${i}` }, 'rate.limited'))
  await summary.close()
  const others = events.filter(({ tenantId }) => tenantId === NO_TENANT)
  assert.deepEqual(
    others.map(({ detail }) => [detail?.['code'], detail?.['count']]),
    [['others', 1]],
  )
})
