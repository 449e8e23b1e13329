import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import type pg from 'pg'
import { type ApiServer, startApiServer } from '#test/support/api-server.ts'
import { openSql } from '#test/support/database.ts'
import { type FakeBroker, startFakeBroker } from '#test/support/fake-broker.ts'
import {
  type Answer,
  auditRows,
  type Call,
  callerOf,
  integrate,
  openIntents,
  publish,
  startLoad,
} from './system-parts.ts'

/** How threads are ended and their work done again is in `test/signing/crypto-threads.test.ts`; this is what callers see of it. */
for (const provider of ['openssl', 'noble'])
  describe(`F29: the threads that seal and sign with ${provider} are ended under traffic`, () => {
    let api: ApiServer
    let broker: FakeBroker
    let sql: pg.Pool
    let call: Call
    let integrationId: string
    const threads = new Set<Worker>()
    let started = 0
    let onStart: (thread: Worker) => void = () => undefined
    const watch = (thread: Worker) => {
      started++
      threads.add(thread)
      thread.once('exit', () => threads.delete(thread))
      onStart(thread)
    }

    before(async () => {
      process.on('worker', watch)
      broker = await startFakeBroker()
      api = await startApiServer({ CRYPTO_PROVIDER: provider })
      sql = openSql(api.databaseUrl)
      call = callerOf(
        () => api.url,
        () => api.ownerKey,
      )
      ;({ integrationId } = await integrate(call, broker.port))
      assert.equal((await publish(call, integrationId)).status, 200)
    })
    after(async () => {
      process.off('worker', watch)
      await sql.end()
      await api.close()
      await broker.stop()
    })

    /** Every message that an answer calls acknowledged was sent once and is on record; no intent is left open. */
    async function assertTruthful(answers: readonly Answer[]): Promise<void> {
      const rows = await auditRows(sql)
      const outcomes = new Map(
        rows.filter(({ action }) => action === 'proxy.publish.outcome').map((row) => [row.request_id, row.outcome]),
      )
      for (const { status, code, requestId } of answers) {
        assert.ok(status === 200 || code === 'outcome.unknown' || code === 'signer.busy', `${status} ${code}`)
        assert.equal(outcomes.get(requestId), code === 'signer.busy' ? undefined : 'success')
      }
      assert.deepEqual(openIntents(rows), [])
    }

    test('one thread after the other, while it works: no reply is lost, for the work is done again', async () => {
      const load = startLoad(() => publish(call, integrationId), 8)
      for (let i = 0; i < 6; i++) {
        const before = load.answers.length
        const [thread] = threads
        assert.ok(thread, 'no thread runs')
        await thread.terminate()
        while (load.answers.length < before + 16) await new Promise(setImmediate)
      }
      await load.stop()
      assert.equal(load.unanswered.length, 0)
      assert.ok(started > 6, 'no thread was started in the place of another')
      await assertTruthful(load.answers)
      assert.deepEqual(new Set(load.answers.map(({ status }) => status)), new Set([200]))
    })

    test('every thread, as soon as it runs: what was sent is unknown to its caller, on record as it was, and all is well when threads live again', async () => {
      const sent = broker.packetsOf('publish').length
      onStart = (thread) => void once(thread, 'online').then(() => thread.terminate())
      for (const thread of threads) await thread.terminate()
      const begun = started
      const answers = await Promise.all(Array.from({ length: 8 }, () => publish(call, integrationId)))
      onStart = () => undefined
      assert.ok(started > begun, 'no thread was started, and ended')
      assert.deepEqual(
        new Set(answers.map(({ status, code }) => `${status} ${code}`)),
        new Set(['504 outcome.unknown']),
      )
      assert.equal(broker.packetsOf('publish').length, sent + 8)
      await assertTruthful(answers)
      assert.equal((await publish(call, integrationId)).status, 200)
    })
  })
