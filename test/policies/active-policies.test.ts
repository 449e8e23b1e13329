import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import { createActivePolicies } from '#src/policies/active-policies.ts'
import { createPolicyWorkers } from '#src/policies/policy-workers.ts'
import { decide } from '#src/policy/decide.ts'
import { eventually } from '#test/audit/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { localFeed } from '#test/support/deployment.ts'
import { patience } from '#test/support/patience.ts'
import { documentOf, errorOf, policiesOn } from './parts.ts'

describe('the policy that decides', () => {
  let database: TestDatabase
  let feed: ChangeFeed
  let otherFeed: ChangeFeed
  const workers = createPolicyWorkers()
  before(async () => {
    database = await testDatabase()
    feed = await createChangeFeed(database.connection)
    otherFeed = await createChangeFeed(database.connection)
  })
  after(async () => {
    await workers.close()
    await feed.close()
    await otherFeed.close()
    await database.drop()
  })
  const parts = (tenantId?: string, heard = feed) => policiesOn({ db: database.db, feed: heard, workers }, tenantId)
  /** Whether a publish below that topic is allowed right now; `undefined` while there is no policy, which denies. */
  async function allows({ policies, caller }: Awaited<ReturnType<typeof parts>>, id: string, topic: string) {
    const active = await policies.active(caller.tenantId, id)
    return active && decide(active.compiled, {}, { action: 'publish', topic: `${topic}/t` }).decision
  }

  test('is the active revision, compiled: without SQL on a hit, and current as soon as a change is answered', async () => {
    const here = await parts(undefined, { ...localFeed(), announce: async () => undefined }) // nothing is ever announced
    const { policies, caller, db } = here
    const { id } = await policies.create(caller, { document: documentOf('a') })
    assert.deepEqual([await allows(here, id, 'a'), await allows(here, id, 'b')], ['allow', 'deny'])
    const before = db.statements
    const first = await policies.active(caller.tenantId, id)
    for (let i = 0; i < 100; i++) assert.equal((await policies.active(caller.tenantId, id))?.compiled, first?.compiled)
    assert.equal(db.statements, before)
    await policies.update(caller, id, '"1"', { document: documentOf('b') })
    assert.deepEqual([await allows(here, id, 'a'), await allows(here, id, 'b')], ['deny', 'allow'])
    await policies.update(caller, id, '"2"', { activateRevision: 1 })
    assert.equal(
      (await policies.active(caller.tenantId, id))?.compiled,
      first?.compiled,
      'compiled once for each revision',
    )
    await policies.remove(caller, id, '"3"')
    assert.equal(await allows(here, id, 'a'), undefined)
  })

  test('another process learns within a second of a change, a roll-back and a deletion', async () => {
    const here = await parts()
    const there = await parts(here.caller.tenantId, otherFeed)
    const { policies, caller } = here
    const { id } = await policies.create(caller, { document: documentOf('a') })
    assert.deepEqual([await allows(here, id, 'a'), await allows(there, id, 'a')], ['allow', 'allow'])
    /** Milliseconds from the answer of a change until the other process decides by it. */
    async function noticed(change: Promise<unknown>, wanted: string | undefined): Promise<number> {
      await change
      const start = performance.now()
      await eventually(async () => (await allows(there, id, 'a')) === wanted || undefined)
      return performance.now() - start
    }
    const took = [
      await noticed(policies.update(caller, id, '"1"', { document: documentOf('b') }), 'deny'),
      await noticed(policies.update(caller, id, '"2"', { activateRevision: 1 }), 'allow'),
      await noticed(policies.remove(caller, id, '"3"'), undefined),
    ]
    for (const ms of took) assert.ok(ms < patience(1_000), `${took.join(', ')} ms`)
  })

  test('an announcement that is lost is made up for after five seconds', async () => {
    const deaf = await parts(undefined, { ...localFeed(), announce: async () => undefined })
    const writer = await parts(deaf.caller.tenantId)
    const { id } = await writer.policies.create(writer.caller, { document: documentOf('a') })
    assert.equal(await allows(deaf, id, 'a'), 'allow')
    await writer.policies.update(writer.caller, id, '"1"', { document: documentOf('b') })
    deaf.clock.advance(4_999)
    assert.equal(await allows(deaf, id, 'a'), 'allow')
    deaf.clock.advance(2)
    assert.equal(await allows(deaf, id, 'a'), 'deny')
  })

  test('while nothing is heard of changes the database is asked every time, and the compiled form is kept', async () => {
    const quiet = { ...localFeed(), live: false }
    const here = await parts(undefined, quiet)
    const { policies, caller, db } = here
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const first = await policies.active(caller.tenantId, id)
    const before = db.statements
    assert.equal((await policies.active(caller.tenantId, id))?.compiled, first?.compiled)
    assert.equal(db.statements, before + 1)
  })

  test('is unknown, never allowed, while the database is away', async () => {
    const { policies, caller } = await parts()
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const db = {
      query: async () => {
        throw new AppError('database.unavailable', 'away')
      },
    }
    const { active } = createActivePolicies({ db, feed: localFeed(), log: silentLog })
    await errorOf(active(caller.tenantId, id), 'database.unavailable')
    await errorOf(active(caller.tenantId, id), 'database.unavailable')
    assert.equal(await active(caller.tenantId, 'pol_x'), undefined, 'no id at all needs no database')
  })

  for (const text of ['{"schema":"mqtt-policy/2"}', '{"schema":', 'null', '']) {
    test(`a stored document that this release does not understand (${text || 'nothing'}) is none, and is logged once`, async () => {
      const { policies, caller, warnings, db } = await parts()
      const { id } = await policies.create(caller, { document: documentOf('a') })
      await database.db.query('update policy_revisions set document = $2 where policy_id = $1', [id, text])
      assert.equal(await policies.active(caller.tenantId, id), undefined)
      const before = db.statements
      assert.equal(await policies.active(caller.tenantId, id), undefined)
      assert.equal(db.statements, before, 'it is not parsed for every request')
      assert.equal(warnings.length, 1)
      assert.match(warnings[0]?.message ?? '', /denies everything/)
      await policies.update(caller, id, '"1"', { document: documentOf('b') })
      assert.equal((await policies.active(caller.tenantId, id))?.revision, 2)
    })
  }

  test('callers that come together share one compilation', async () => {
    const here = await parts()
    const { policies, caller, db } = here
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const before = db.statements
    const all = await Promise.all(Array.from({ length: 50 }, () => policies.active(caller.tenantId, id)))
    assert.equal(new Set(all.map((one) => one?.compiled)).size, 1)
    assert.equal(db.statements - before, 2, 'which revision, and its document')
    assert.equal(await policies.active(newId('ten'), id), undefined)
  })
})
