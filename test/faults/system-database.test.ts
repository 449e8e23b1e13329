import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import { patience } from '#test/support/patience.ts'
import { startOwnPostgres } from '../../scripts/test/own-postgres.ts'
import { type Answer, auditRows, integrate, publish, type Stack, startLoad, startStack } from './system-parts.ts'

const BACK_MS = 5_000
const TERMINATE = `select count(pg_terminate_backend(pid))::int as count from pg_stat_activity
  where datname = current_database() and application_name = 'sealwire'`

const isAlive = ({ server: { child } }: Stack) => child.exitCode === null && child.signalCode === null

/** Payloads that reached the broker, with how often. */
function delivered(broker: FakeBroker): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { payload } of broker.packetsOf('publish'))
    counts.set(String(payload), (counts.get(String(payload)) ?? 0) + 1)
  return counts
}

let loads = 0

/** Numbered publishes in `workers` loops. */
function publishing({ call }: Stack, integrationId: string, workers: number) {
  const sent = new Map<Answer, string>()
  const mark = `${++loads}.`
  const load = startLoad(async (i) => {
    const answer = await publish(call, integrationId, { message: `${mark}${i}` })
    sent.set(answer, `${mark}${i}`)
    return answer
  }, workers)
  return { ...load, messageOf: (answer: Answer) => sent.get(answer) ?? '' }
}

/** Every answer against the broker's log and the audit log. */
async function assertTruthful(
  { sql }: Stack,
  broker: FakeBroker,
  load: ReturnType<typeof publishing>,
): Promise<Record<number, number>> {
  assert.equal(load.unanswered.length, 0, `no answer: ${String(load.unanswered[0]?.err)}`)
  const seen = delivered(broker)
  const outcomes = new Map(
    (await auditRows(sql))
      .filter(({ action }) => action === 'proxy.publish.outcome')
      .map((row) => [row.request_id, row.outcome]),
  )
  const counts: Record<number, number> = {}
  for (const answer of load.answers) {
    counts[answer.status] = (counts[answer.status] ?? 0) + 1
    const times = seen.get(load.messageOf(answer)) ?? 0
    assert.ok(times <= 1, `${load.messageOf(answer)} was sent ${times} times`)
    if (answer.status === 200) {
      assert.equal(times, 1, 'acknowledged, and the broker has not seen it')
      assert.equal(outcomes.get(answer.requestId), 'success', 'answered without its audit row')
    } else if (answer.status === 503) assert.equal(times, 0, `${answer.code} although it was sent`)
    else assert.deepEqual([answer.status, answer.code], [504, 'outcome.unknown'])
  }
  return counts
}

/** Milliseconds from `sinceMs` to the first success that began after it. */
async function backAfter(load: ReturnType<typeof publishing>, sinceMs: number): Promise<number> {
  for (;;) {
    const first = load.answers.find(({ status, startedMs }) => status === 200 && startedMs >= sinceMs)
    if (first) return first.endedMs - sinceMs
    assert.ok(performance.now() - sinceMs < patience(4 * BACK_MS), 'not back')
    await delay(10)
  }
}

describe('PostgreSQL fails under a server with traffic', () => {
  let stack: Stack
  let broker: FakeBroker
  let integrationId: string
  before(async () => {
    broker = await startFakeBroker()
    stack = await startStack({}, { proxied: true })
    ;({ integrationId } = await integrate(stack.call, broker.port))
  })
  after(async () => {
    await stack.close()
    await broker.stop()
  })

  test('F22: its backends terminated three times: every call is answered truthfully, and service is back within 5 s', async (t) => {
    const load = publishing(stack, integrationId, 8)
    try {
      for (let i = 0; i < 3; i++) {
        while (load.answers.filter(({ status }) => status === 200).length <= 35 * (i + 1)) await delay(5)
        const { rows } = await stack.sql.query<{ count: number }>(TERMINATE)
        assert.ok((rows[0]?.count ?? 0) >= 2, 'nothing was terminated')
        const tookMs = await backAfter(load, performance.now())
        assert.ok(tookMs < patience(BACK_MS), `back after ${Math.round(tookMs)} ms`)
      }
    } finally {
      await load.stop()
    }
    assert.ok(isAlive(stack))
    const counts = await assertTruthful(stack, broker, load)
    t.diagnostic(JSON.stringify(counts))
    assert.ok((counts[200] ?? 0) > 100)
  })

  test('F22: two seconds without a database: 503 meanwhile, and back within 5 s', async (t) => {
    const load = publishing(stack, integrationId, 8)
    try {
      await delay(200)
      stack.proxy?.cut()
      const cutMs = performance.now()
      await delay(2_000)
      const restoredMs = performance.now()
      await stack.proxy?.restore()
      const tookMs = await backAfter(load, restoredMs)
      assert.ok(tookMs < patience(BACK_MS), `back after ${Math.round(tookMs)} ms`)
      const meanwhile = load.answers.filter(({ startedMs, endedMs }) => startedMs > cutMs + 100 && endedMs < restoredMs)
      assert.ok(meanwhile.length > 0)
      assert.deepEqual(new Set(meanwhile.map(({ status }) => status)), new Set([503]))
      t.diagnostic(`${meanwhile.length} refused in between`)
    } finally {
      await load.stop()
    }
    assert.ok(isAlive(stack))
    await assertTruthful(stack, broker, load)
  })

  async function timedReadiness(): Promise<{ status: number; tookMs: number }> {
    const beganMs = performance.now()
    const { status } = await fetch(`${stack.server.url}/health/ready`)
    return { status, tookMs: Math.round(performance.now() - beganMs) }
  }

  test('F22: a database that says nothing: 503 within the time-outs, the process goes on, and service is back within 5 s', async () => {
    stack.proxy?.hang()
    const ready = timedReadiness()
    const answers = await Promise.all(Array.from({ length: 20 }, () => publish(stack.call, integrationId)))
    for (const { status, startedMs, endedMs } of answers) {
      assert.equal(status, 503)
      assert.ok(endedMs - startedMs < patience(10_250), `took ${endedMs - startedMs} ms`)
    }
    const { status, tookMs } = await ready
    assert.ok(status === 503 && tookMs < patience(2_500), `readiness: ${status} after ${tookMs} ms`)
    const sinceMs = performance.now()
    await stack.proxy?.restore()
    let answer = await publish(stack.call, integrationId)
    while (answer.status !== 200 && performance.now() - sinceMs < patience(BACK_MS))
      answer = await publish(stack.call, integrationId)
    assert.equal(answer.status, 200)
    assert.ok(isAlive(stack))
  })
})

test('F22: PostgreSQL itself stopped and started again under traffic: nothing acknowledged is lost, and service is back within 5 s of its return', async (t) => {
  const postgres = await startOwnPostgres()
  const broker = await startFakeBroker()
  const stack = await startStack({ DATABASE_URL: postgres.url })
  try {
    const { integrationId } = await integrate(stack.call, broker.port)
    const load = publishing(stack, integrationId, 8)
    await delay(300)
    const socket = path.join(new URL(postgres.url).searchParams.get('host') ?? '', '.s.PGSQL.5432.lock')
    const postmaster = Number(readFileSync(socket, 'utf8').split('\n')[0])
    process.kill(postmaster, 'SIGINT') // "fast": sessions end with 57P01
    const stoppedMs = performance.now()
    for (let isBack = false; !isBack; ) {
      const probe = new pg.Client({ connectionString: postgres.url })
      probe.on('error', () => undefined)
      isBack = await probe.connect().then(
        async () => {
          const { rows } = await probe.query<{ up: number }>(
            'select extract(epoch from now() - pg_postmaster_start_time())::float8 as up',
          )
          return (rows[0]?.up ?? 0) < (performance.now() - stoppedMs) / 1000
        },
        () => false,
      )
      await probe.end().catch(() => undefined)
    }
    const startedMs = performance.now()
    const tookMs = await backAfter(load, startedMs)
    assert.ok(tookMs < patience(BACK_MS), `back after ${Math.round(tookMs)} ms`)
    await load.stop()
    assert.ok(isAlive(stack))
    const counts = await assertTruthful(stack, broker, load)
    t.diagnostic(`away for ${Math.round(startedMs - stoppedMs)} ms: ${JSON.stringify(counts)}`)
    assert.ok((counts[503] ?? 0) + (counts[504] ?? 0) > 0, 'nobody noticed')
  } finally {
    await stack.close()
    await broker.stop()
    await postgres.stop()
  }
})
