import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { eventually } from '#test/audit/parts.ts'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { type KmsDouble, startKmsDouble } from '#test/support/kms-double.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { awsEnv, movedClock } from './kms-parts.ts'
import { type Answer, auditRows, type Call, callerOf, integrate, publish, startLoad } from './system-parts.ts'

const BACK_MS = 5_000
const WORKERS = 8
const MINUTE_MS = 60_000

const TERMINATE = `select count(pg_terminate_backend(pid))::int as count from pg_stat_activity
  where datname = current_database() and application_name = 'sealwire'`

/**
 * A server, a real broker, a real PostgreSQL and a double of AWS KMS. The server's clock is the system's, put ahead by the
 * test: that is how a KMS stays away for ten minutes. Every message has a topic of its own, so that the broker's log says
 * which ones it took.
 */
describe('what everything stands on goes away and comes back under traffic', () => {
  const clock = movedClock()
  const inherited = { ...process.env }
  let kms: KmsDouble
  let broker: Mosquitto
  let api: ApiServer
  let call: Call
  let sql: pg.Pool
  let integrationId: string
  let sent = 0
  const topics = new Map<Answer, string>()

  before(async () => {
    ;[kms, broker] = await Promise.all([startKmsDouble(), startMosquitto()])
    const env = awsEnv(kms, kms.createKey().arn)
    Object.assign(process.env, env) // where the SDK finds its credentials
    api = await startApiServer(env, { clock })
    sql = openSql(api.databaseUrl)
    call = callerOf(
      () => api.url,
      () => api.ownerKey,
    )
  })
  after(async () => {
    for (const name of Object.keys(awsEnv(kms, ''))) if (inherited[name] === undefined) delete process.env[name]
    await sql.end()
    await api.close()
    await broker.stop()
    await kms.close()
  })

  async function send(): Promise<Answer> {
    const topic = `plant/${++sent}`
    const answer = await publish(call, integrationId, { topic })
    topics.set(answer, topic)
    return answer
  }

  /** At QoS 1 both are an acknowledgement; 202 says that nobody has subscribed. */
  const isAcknowledged = ({ status }: Answer) => status === 200 || status === 202

  const timesTaken = (topic: string) =>
    broker
      .log()
      .split('\n')
      .filter((line) => line.includes('Received PUBLISH') && line.includes(`'${topic}'`)).length

  /** Every answer against the broker's log and the audit log. */
  async function assertNothingLost(
    t: TestContext,
    { answers, unanswered }: ReturnType<typeof startLoad>,
  ): Promise<void> {
    assert.equal(unanswered.length, 0, `no answer: ${String(unanswered[0]?.err)}`)
    const counts: Record<string, number> = {}
    const rows = await auditRows(sql)
    const succeeded = new Set(
      rows
        .filter(({ action, outcome }) => action === 'proxy.publish.outcome' && outcome === 'success')
        .map((row) => row.request_id),
    )
    for (const answer of answers) {
      counts[answer.status] = (counts[answer.status] ?? 0) + 1
      const topic = topics.get(answer) ?? ''
      if (isAcknowledged(answer)) {
        await eventually(async () => (timesTaken(topic) > 0 ? true : undefined)) // the log comes through a pipe
        assert.ok(succeeded.has(answer.requestId), 'acknowledged, and not on record')
      } else assert.ok([503, 504].includes(answer.status), `${answer.status} ${answer.code}`)
      const times = timesTaken(topic)
      assert.ok(times <= (answer.status === 503 ? 0 : 1), `${answer.status}: the broker took ${topic} ${times} times`)
    }
    t.diagnostic(JSON.stringify(counts))
    assert.ok((counts['202'] ?? 0) > 20, 'no traffic')
  }

  /** Asserts that a call that began after `sinceMs` succeeds within 5 s. */
  async function assertBack(t: TestContext, { answers }: ReturnType<typeof startLoad>, sinceMs: number): Promise<void> {
    for (;;) {
      const first = answers.find((answer) => isAcknowledged(answer) && answer.startedMs >= sinceMs)
      if (first) {
        t.diagnostic(`back after ${Math.round(first.endedMs - sinceMs)} ms`)
        assert.ok(first.endedMs - sinceMs < patience(BACK_MS), `back after ${Math.round(first.endedMs - sinceMs)} ms`)
        return
      }
      assert.ok(
        performance.now() - sinceMs < patience(3 * BACK_MS),
        `not back: ${JSON.stringify(answers.slice(-3).map(({ status, code, message }) => [status, code, message]))}`,
      )
      await delay(10)
    }
  }

  /** Calls go out one after the other in each of eight loops, with a breath between them. */
  const startTraffic = () =>
    startLoad(async () => {
      await delay(5)
      return send()
    }, WORKERS)

  async function underTraffic(
    t: TestContext,
    work: (load: ReturnType<typeof startLoad>) => Promise<void>,
  ): Promise<void> {
    ;({ integrationId } = await integrate(call, broker.ports.tcp)) // whose connection has never failed
    const load = startTraffic()
    try {
      while (load.answers.filter(isAcknowledged).length <= 20) await delay(5)
      await work(load)
    } finally {
      await load.stop()
    }
    await assertNothingLost(t, load)
  }

  for (const awayMs of [0, 500])
    test(`a broker that is restarted, away for ${awayMs} ms`, async (t) => {
      await underTraffic(t, async (load) => {
        const before = broker.connects()
        await broker.restart(awayMs)
        await assertBack(t, load, performance.now())
        assert.ok(broker.connects() > before, 'nobody had to connect again')
      })
    })

  test('PostgreSQL, its backends terminated', async (t) => {
    await underTraffic(t, async (load) => {
      const { rows } = await sql.query<{ count: number }>(TERMINATE)
      assert.ok((rows[0]?.count ?? 0) >= 2, 'nothing was terminated')
      await assertBack(t, load, performance.now())
    })
  })

  test('a KMS that is away for ten minutes, with a broker restart in the middle', async (t) => {
    await underTraffic(t, async (load) => {
      await kms.down()
      const asked = kms.requests.length
      for (let minute = 1; minute <= 10; minute++) {
        clock.advance(MINUTE_MS)
        const sinceMs = performance.now()
        if (minute <= 6) await assertBack(t, load, sinceMs) // open connections need no KMS
        if (minute === 6) await broker.restart() // and new ones need a share that has expired
        await delay(100)
      }
      const refused = await send()
      assert.deepEqual([refused.status, refused.code], [503, 'kms.unavailable'])
      const written = await call('POST', '/api/v2/vault/seal', {
        credential_type: 'custom_kv',
        values: { hostname: 'b' },
      })
      assert.deepEqual([written.status, written.code], [503, 'kms.unavailable'])
      assert.equal(kms.requests.length, asked, 'the KMS was not away')
      await kms.up()
      await assertBack(t, load, performance.now())
    })
  })

  test('all three at once', async (t) => {
    await underTraffic(t, async (load) => {
      await kms.down()
      clock.advance(10 * MINUTE_MS)
      await Promise.all([broker.restart(), sql.query(TERMINATE)])
      await delay(1_000)
      await kms.up()
      await assertBack(t, load, performance.now())
    })
    const { status } = await fetch(`${api.url}/health/ready`)
    assert.equal(status, 200)
  })
})
