import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { crashPoints } from '#src/core/crash-points.ts'
import { type CrashBench, startCrashBench } from '#test/support/crash-bench.ts'
import { afterCrash, checkSwept, runCrashes, type Trial } from '#test/support/crash-trials.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'

const TRIALS_A_STEP = 10
const words = {
  runs: 'nothing was sent, and a retry sends it once',
  unknown: 'a retry is answered unknown with the same message id, and sends nothing',
  replay: 'a retry is answered acknowledged with the same message id, and sends nothing',
}

describe(`kill -9 at each of the ${crashPoints.length} steps of a publish, ${TRIALS_A_STEP} times`, () => {
  let database: TestDatabase
  let bench: CrashBench
  const trials: Trial[] = []
  before(async () => {
    database = await testDatabase()
    bench = await startCrashBench(database.url)
  })
  after(async () => {
    await bench?.close()
    await database.drop()
  })

  for (const step of crashPoints) {
    test(`${step}: ${words[afterCrash[step]]}`, async () => {
      const own = await runCrashes(bench, step, { count: TRIALS_A_STEP })
      assert.equal(own.length, TRIALS_A_STEP)
      trials.push(...own)
    })
  }

  test('120 trials later every intent is closed, as unknown just where a retry was told so, and the chain verifies', async () => {
    assert.equal(trials.length, 120)
    const publishes = trials.flatMap((trial) => trial.publishes)
    const unknown = publishes.filter(({ retry }) => retry.error)
    const answered = publishes.filter(({ first }) => first !== undefined)
    assert.ok(unknown.length >= 50 && answered.length >= 60, `${unknown.length} unknown, ${answered.length} answered`)
    checkSwept(await bench.settleAudit(), publishes)
  })
})
