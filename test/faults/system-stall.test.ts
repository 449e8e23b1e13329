import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { eventually } from '#test/audit/parts.ts'
import { startApiServer } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { type Mosquitto, startMosquitto } from '#test/support/mosquitto.ts'
import { patience } from '#test/support/patience.ts'
import { type Answer, auditRows, callerOf, integrate, publish, type Stack, startStack } from './system-parts.ts'

const DEADLINE_MS = 300
const STALL_MS = 3_000
const IN_FLIGHT = 20
const hurried = { 'request-deadline-ms': String(DEADLINE_MS) }

const spentMs = ({ startedMs, endedMs }: Answer) => endedMs - startedMs
/** At QoS 1 both are an acknowledgement; 202 says that nobody has subscribed. */
const isAcknowledged = ({ status }: Answer) => status === 200 || status === 202

const timesTaken = (broker: Mosquitto, topic: string) =>
  broker
    .log()
    .split('\n')
    .filter((line) => line.includes('Received PUBLISH') && line.includes(`'${topic}'`)).length

/** For stalls of the server: all are on their way well before it, and their time is up well within it. */
const patient = { 'request-deadline-ms': '2000' }

/** Resolves when `count` more intents than `before` are on record. */
const begun = (sql: pg.Pool, before: number, count: number) =>
  eventually(async () => ((await intentsOf(sql)) >= before + count ? true : undefined))
const intentsOf = async (sql: pg.Pool) =>
  (await auditRows(sql)).filter(({ action }) => action === 'proxy.publish.intent').length

/**
 * Each request has one intent and one outcome, whatever happened to the time in between. The row of an unknown outcome whose
 * time was long up when the loop turned again is written without being waited for.
 */
async function assertEndedOnce(sql: pg.Pool, answers: readonly Answer[]): Promise<void> {
  for (const { requestId } of answers) {
    const count = async (action: string) =>
      (await auditRows(sql, requestId)).filter((row) => row.action === `proxy.publish.${action}`).length
    await eventually(async () => ((await count('outcome')) > 0 ? true : undefined))
    assert.deepEqual([await count('intent'), await count('outcome')], [1, 1])
  }
}

describe('F28: a stall of three seconds', () => {
  let broker: Mosquitto
  let stack: Stack
  let integrationId: string
  before(async () => {
    broker = await startMosquitto()
    stack = await startStack()
    ;({ integrationId } = await integrate(stack.call, broker.ports.tcp))
    assert.ok(isAcknowledged(await publish(stack.call, integrationId)))
  })
  after(async () => {
    await stack.close()
    await broker.stop()
  })

  /** Once more where its short time was up before its intent was on record, as on a machine that is busy elsewhere. */
  async function send(topic: string, headers: Record<string, string>): Promise<Answer> {
    let answer = await publish(stack.call, integrationId, { topic, headers })
    for (let i = 1; i < 5 && answer.code === 'audit.unavailable'; i++)
      answer = await publish(stack.call, integrationId, { topic, headers })
    return answer
  }
  const sendAll = (name: string, headers: Record<string, string>) =>
    Promise.all(Array.from({ length: IN_FLIGHT }, (_, i) => send(`plant/${name}/${i}`, headers)))

  test('of the broker: what is on its way is unknown by its deadline, once; it is used again when it goes on, without another login', async () => {
    const connects = broker.connects()
    broker.signal('SIGSTOP')
    const goesOn = delay(STALL_MS).then(() => broker.signal('SIGCONT'))
    const answers = await sendAll('broker', hurried)
    for (const answer of answers) {
      assert.deepEqual([answer.status, answer.code], [504, 'outcome.unknown'])
      assert.ok(
        spentMs(answer) > DEADLINE_MS - 20 && spentMs(answer) < patience(DEADLINE_MS + 2_000),
        `took ${spentMs(answer)} ms`,
      )
    }
    await goesOn
    const sinceMs = performance.now()
    let answer = await publish(stack.call, integrationId, { headers: hurried })
    while (!isAcknowledged(answer) && performance.now() - sinceMs < patience(5_000))
      answer = await publish(stack.call, integrationId, { headers: hurried })
    assert.ok(isAcknowledged(answer), `${answer.status} ${answer.code}`)
    await assertEndedOnce(stack.sql, answers)
    for (let i = 0; i < IN_FLIGHT; i++) {
      await eventually(async () => (timesTaken(broker, `plant/broker/${i}`) > 0 ? true : undefined)) // the caller was right not to know
      assert.equal(timesTaken(broker, `plant/broker/${i}`), 1)
    }
    assert.ok(broker.connects() - connects <= 1, 'a storm of logins')
  })

  test('of the server: every call has one answer when it goes on, and the connections live', async () => {
    const connects = broker.connects()
    const { child } = stack.server
    broker.signal('SIGSTOP') // so that all of them are on their way when the server stops
    const before = await intentsOf(stack.sql)
    const asked = sendAll('server', patient)
    await begun(stack.sql, before, IN_FLIGHT)
    child.kill('SIGSTOP')
    broker.signal('SIGCONT')
    await delay(STALL_MS)
    child.kill('SIGCONT')
    const answers = await asked
    for (const answer of answers) {
      assert.ok(
        isAcknowledged(answer) || answer.code === 'outcome.unknown' || answer.status === 503,
        `${answer.status} ${answer.code}`,
      )
      assert.ok(spentMs(answer) >= STALL_MS - 500, 'the server did not stop')
    }
    await assertEndedOnce(
      stack.sql,
      answers.filter(({ status }) => status !== 503),
    )
    assert.ok(isAcknowledged(await publish(stack.call, integrationId)))
    for (const [i, answer] of answers.entries()) {
      const times = timesTaken(broker, `plant/server/${i}`)
      assert.ok(times <= (answer.status === 503 ? 0 : 1), `${answer.status}, and taken ${times} times`)
      if (isAcknowledged(answer)) assert.equal(times, 1)
    }
    assert.ok(broker.connects() - connects <= 1, 'a storm of logins')
  })
})

test('F28: an event loop that is busy for three seconds: deadlines fire once, and there is no storm of logins', async () => {
  const broker = await startMosquitto()
  const api = await startApiServer()
  const sql = openSql(api.databaseUrl, 1)
  try {
    const call = callerOf(
      () => api.url,
      () => api.ownerKey,
    )
    const { integrationId } = await integrate(call, broker.ports.tcp)
    assert.ok(isAcknowledged(await publish(call, integrationId)))
    const connects = broker.connects()
    broker.signal('SIGSTOP')
    const before = await intentsOf(sql)
    const asked = Promise.all(
      Array.from({ length: IN_FLIGHT }, (_, i) =>
        publish(call, integrationId, { topic: `plant/loop/${i}`, headers: patient }),
      ),
    )
    await begun(sql, before, IN_FLIGHT)
    broker.signal('SIGCONT') // acknowledgements come while nobody reads them
    const beganMs = performance.now()
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS)
    assert.ok(performance.now() - beganMs >= STALL_MS - 10)
    const answers = await asked
    for (const answer of answers)
      assert.ok(
        isAcknowledged(answer) || answer.code === 'outcome.unknown' || answer.status === 503,
        `${answer.status} ${answer.code}`,
      )
    await assertEndedOnce(
      sql,
      answers.filter(({ status }) => status !== 503),
    )
    assert.ok(isAcknowledged(await publish(call, integrationId)))
    for (const [i, answer] of answers.entries()) {
      const times = timesTaken(broker, `plant/loop/${i}`)
      assert.ok(times <= (answer.status === 503 ? 0 : 1), `${answer.status}, and taken ${times} times`)
    }
    assert.ok(broker.connects() - connects <= 1, 'a storm of logins') // one: the link was silent for longer than a live one is
  } finally {
    await sql.end()
    await api.close()
    await broker.stop()
  }
})
