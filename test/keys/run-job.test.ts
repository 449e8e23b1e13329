import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, mock, test } from 'node:test'
import { newId } from '#src/core/ids.ts'
import { claimJob, findJob, LEASE_MS, openJob, savePage } from '#src/keys/job-store.ts'
import type { JobPlan, MovableRow, MoveOutcome } from '#src/keys/key-job.ts'
import { runDueJob } from '#src/keys/run-job.ts'
import { eventually } from '#test/audit/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { testClock } from '#test/support/deployment.ts'

/** Rows that a test moves as it likes; a row is gone once it has moved. */
function planOf(rows: readonly string[], move: (name: string) => Promise<MoveOutcome>): JobPlan & { settled: number } {
  const left = new Set(rows)
  const movable = (name: string): MovableRow => ({
    position: name,
    name,
    async move() {
      const outcome = await move(name)
      if (outcome === 'moved') left.delete(name)
      return outcome
    },
  })
  const plan = {
    settled: 0,
    sources: [
      {
        name: 'rows',
        async page(after: string | null, limit: number) {
          return [...left]
            .filter((name) => after === null || name > after)
            .slice(0, limit)
            .map(movable)
        },
      },
    ],
    async settle() {
      plan.settled++
      return { waitMs: 1_000 }
    },
  }
  return plan
}

describe('a job', () => {
  let database: TestDatabase
  let clock: ReturnType<typeof testClock>
  const now = () => new Date(clock.now())
  const run = (plan: JobPlan, owner = 'one', id: string | null = null) =>
    runDueJob({ db: database.db, clock, owner, pause: async () => {} }, () => plan, id)
  const open = (target = 'kem_1', tenantId = 'ten_1') =>
    openJob(database.db, { id: newId('job'), kind: 'vault-reencrypt', tenantId, target }, now())
  const found = async (tenantId = 'ten_1') => {
    const job = await findJob(database.db, 'vault-reencrypt', tenantId)
    assert.ok(job)
    return job
  }

  before(async () => {
    database = await testDatabase()
  })
  beforeEach(async () => {
    clock = testClock()
    await database.db.query('truncate key_jobs')
  })
  after(() => database.drop())

  test('stays with a process whose key wrapper takes longer than the lease', async () => {
    const { id } = await open()
    mock.timers.enable({ apis: ['setInterval'] })
    try {
      const leaseOf = async () =>
        (await database.db.query<{ lease_until: Date }>('select lease_until from key_jobs')).rows[0]?.lease_until
      await run(
        planOf(['a'], async () => {
          for (let i = 0; i < 4; i++) {
            clock.advance(LEASE_MS - 1)
            mock.timers.tick(LEASE_MS / 4)
            const until = clock.now() + LEASE_MS
            await eventually(async () => ((await leaseOf())?.getTime() === until ? true : undefined))
            assert.equal(await claimJob(database.db, 'two', now(), id), undefined)
          }
          return 'moved'
        }),
      )
      assert.equal((await found()).moved, 1)
    } finally {
      mock.timers.reset()
    }
  })

  test('is judged only after a whole pass in which nothing moved and nobody else wrote', async () => {
    const outcomes: MoveOutcome[] = ['passed', 'moved', 'unusable', 'unusable']
    const plan = planOf(['a'], async () => outcomes.shift() ?? 'moved')
    const first = await open()
    const claimed = await claimJob(database.db, 'one', now(), first.id)
    assert.ok(claimed)
    await savePage(database.db, 'one', claimed, { cursor: 'rows:', moved: 0, unusable: [] }, now())
    await run(plan)
    assert.deepEqual([outcomes.length, plan.settled], [2, 1], 'passed, moved, and a pass over nothing')
  })

  test('is counted once for each row that does not open, however many passes there are', async () => {
    await open()
    await run(planOf(['a', 'b', 'c'], async (name) => (name === 'b' ? 'unusable' : 'moved')))
    const { unusable, unusableCount, moved } = await found()
    assert.deepEqual([unusable, unusableCount, moved], [['b'], 1, 2])
  })

  test('is judged however long the rows that do not open take', async () => {
    await open()
    const rows = Array.from({ length: 70 }, (_, i) => String(i).padStart(3, '0'))
    const plan = planOf(rows, async () => {
      clock.advance(1_000)
      return 'unusable'
    })
    await run(plan)
    assert.deepEqual([plan.settled, (await found()).unusableCount, (await found()).unusable.length], [1, 70, 20])
  })

  test('gives way after half a minute to one that waits, and goes on where it was', async () => {
    const { id } = await open('kem_1', 'ten_1')
    clock.advance(1)
    await open('kem_2', 'ten_2')
    const rows = Array.from({ length: 100 }, (_, i) => String(i).padStart(3, '0'))
    const long = planOf(rows, async () => {
      clock.advance(1_000)
      return 'moved'
    })
    await run(long)
    const { moved, state, cursor } = await found('ten_1')
    assert.ok(moved >= 30 && moved < 100, `${moved}`)
    assert.deepEqual([state, cursor], ['running', `rows:${rows[moved - 1]}`])
    const other = planOf([], async () => 'moved')
    await run(other)
    assert.deepEqual([other.settled, long.settled], [1, 0])
    while (long.settled === 0) await run(long, 'one', id)
    assert.equal((await found('ten_1')).moved, 100)
  })

  test('that gets another target counts from zero, and is taken from whoever still works on the one before', async () => {
    const { id } = await open('kem_1')
    await assert.rejects(
      run(
        planOf(['a', 'b'], async (name) => {
          if (name === 'b') throw new Error('away')
          return 'moved'
        }),
      ),
      /away/,
    )
    clock.advance(5_000)
    await run(planOf(['b', 'c'], async () => 'moved'))
    assert.equal((await found()).moved, 2)
    await open('kem_1')
    assert.equal((await found()).moved, 2, 'the same target goes on')
    const slow = await claimJob(database.db, 'slow', now(), id)
    assert.ok(slow)
    await open('kem_2')
    assert.equal((await found()).moved, 0)
    assert.equal(
      await savePage(database.db, 'slow', slow, { cursor: 'rows:x', moved: 1, unusable: [] }, now()),
      undefined,
    )
    assert.equal((await claimJob(database.db, 'two', now(), id))?.target, 'kem_2')
  })
})
