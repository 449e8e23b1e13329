import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type { ErrorCode } from '#src/core/errors.ts'
import { newId } from '#src/core/ids.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import { KEPT_REVISIONS, MAX_POLICIES, MAX_STORED_BYTES } from '#src/policies/policy-step.ts'
import { createPolicyWorkers } from '#src/policies/policy-workers.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { documentOf, errorOf, lastEvent, policiesOn, problemsOf, testOf } from './parts.ts'

describe('stored policies', () => {
  let database: TestDatabase
  let feed: ChangeFeed
  const workers = createPolicyWorkers()
  before(async () => {
    database = await testDatabase()
    feed = await createChangeFeed(database.connection)
  })
  after(async () => {
    await workers.close()
    await feed.close()
    await database.drop()
  })
  const parts = (tenantId?: string) => policiesOn({ db: database.db, feed, workers }, tenantId)

  test('what is created can be got, listed and read by revision, with its number in it and its digest on record', async () => {
    const { caller, policies, audit, clock } = await parts()
    const created = await policies.create(caller, { document: documentOf('a') })
    const { tenantId, id, createdAt, updatedAt, sha256, ...rest } = created
    assert.deepEqual(rest, { name: 'plant', version: 1, activeRevision: 1, latestRevision: 1, rules: 1 })
    assert.deepEqual([tenantId, createdAt, updatedAt], [caller.tenantId, new Date(clock.now()), new Date(clock.now())])

    const { policy, active } = await policies.get(caller.tenantId, id)
    assert.deepEqual(policy, created)
    assert.equal(
      active.text,
      JSON.stringify({ schema: 'mqtt-policy/1', id: 'plant', revision: 1, rules: documentOf('a')['rules'] }),
    )
    assert.equal(createHash('sha256').update(active.text).digest('hex'), sha256)
    assert.deepEqual(await policies.list(caller.tenantId, { limit: 10 }), { items: [created], nextAfter: null })
    const { text, ...revision } = active
    assert.deepEqual(revision, { revision: 1, active: true, rules: 1, sha256, createdAt, createdBy: caller.actor.id })
    assert.deepEqual(await policies.revisions(caller.tenantId, id, { limit: 10 }), {
      items: [revision],
      nextAfter: null,
    })
    assert.equal((await policies.revision(caller.tenantId, id, 1)).text, text)
    assert.deepEqual(audit.events, [
      {
        ...caller,
        action: 'policies.create',
        outcome: 'success',
        object: { kind: 'policy', id },
        detail: { name: 'plant', version: 1, revision: 1, sha256, rules: 1, active: true },
      },
    ])
  })

  test('a document that is not valid is refused with every problem and its path, and nothing is stored', async () => {
    const { caller, policies, audit } = await parts()
    const bad = documentOf('a', {
      rules: [
        { id: 'one', effect: 'permit', actions: ['publish'], topics: ['a/#/b'] },
        { id: 'one', effect: 'allow', actions: ['publish'], topics: ['a'], maxQoS: 1 },
      ],
    })
    const created = await policies.create(caller, { document: documentOf('a') })
    for (const change of [
      () => policies.create(caller, { document: bad }),
      () => policies.update(caller, created.id, '"1"', { document: bad }),
      () => policies.update(caller, created.id, '"1"', { document: bad, activate: false }),
    ]) {
      const problems = problemsOf(await errorOf(change(), 'policy.invalid'))
      assert.deepEqual(problems.map(({ path }) => path).sort(), [
        'rules[0].effect',
        'rules[0].topics[0]',
        'rules[1].id',
        'rules[1].maxQoS',
      ])
      for (const { message } of problems) assert.notEqual(message, '')
    }
    assert.deepEqual((await policies.get(caller.tenantId, created.id)).policy, created)
    assert.equal(audit.events.length, 1)
  })

  test('a document whose tests fail does not decide: the revision before stays; as a draft it is kept', async () => {
    const { caller, policies, audit } = await parts()
    const failing = documentOf('b', {
      tests: [testOf('b'), testOf('b', 'deny'), { ...testOf('c'), name: 'c is ours' }],
    })
    const failed = await errorOf(policies.create(caller, { document: failing }), 'policy.invalid')
    assert.deepEqual(
      problemsOf(failed).map(({ path }) => path),
      ['tests[1]', 'tests[2]'],
    )
    assert.match(failed.message, /tests\[1\].*expected deny.*tests\[2\].*c is ours.*expected allow/s)

    const { id } = await policies.create(caller, { document: documentOf('a', { tests: [testOf('a')] }) })
    await errorOf(policies.update(caller, id, '"1"', { document: failing }), 'policy.invalid')
    assert.equal((await policies.get(caller.tenantId, id)).policy.latestRevision, 1)
    const draft = await policies.update(caller, id, '"1"', { document: failing, activate: false })
    assert.deepEqual([draft.version, draft.activeRevision, draft.latestRevision], [2, 1, 2])
    assert.deepEqual(lastEvent(audit)?.detail?.active, false)
    assert.equal((await policies.active(caller.tenantId, id))?.revision, 1)
    await errorOf(policies.update(caller, id, '"2"', { activateRevision: 2 }), 'policy.invalid')
    assert.equal((await policies.active(caller.tenantId, id))?.revision, 1)
  })

  test('a draft and an older revision can be made to decide; every revision stays as it was', async () => {
    const { caller, policies, audit } = await parts()
    const { id } = await policies.create(caller, { name: 'mine', document: documentOf('a') })
    await policies.update(caller, id, '"1"', { document: documentOf('b'), activate: false })
    const second = await policies.update(caller, id, '"2"', { activateRevision: 2 })
    assert.deepEqual([second.version, second.activeRevision, second.latestRevision], [3, 2, 2])
    const { action, detail } = lastEvent(audit) ?? {}
    assert.deepEqual(
      [action, detail],
      [
        'policies.activate',
        {
          name: 'mine',
          version: 3,
          revision: 2,
          sha256: second.sha256,
          rules: 1,
          active: true,
          changed: 'activateRevision',
        },
      ],
    )
    const back = await policies.update(caller, id, '"3"', { activateRevision: 1, name: 'old' })
    assert.deepEqual([back.name, back.activeRevision, back.latestRevision], ['old', 1, 2])
    const third = await policies.update(caller, id, '"4"', { document: documentOf('c') })
    assert.deepEqual([third.name, third.activeRevision, third.latestRevision], ['old', 3, 3])
    const { items } = await policies.revisions(caller.tenantId, id, { limit: 10 })
    assert.deepEqual(
      items.map(({ revision, active }) => [revision, active]),
      [
        [3, true],
        [2, false],
        [1, false],
      ],
    )
    assert.match((await policies.revision(caller.tenantId, id, 1)).text, /"a\/#"/)
    const renamed = await policies.update(caller, id, '"5"', { name: 'new' })
    assert.deepEqual([renamed.name, renamed.version, renamed.activeRevision], ['new', 6, 3])
    assert.equal(lastEvent(audit)?.detail?.changed, 'name')
    const { details } = await errorOf(policies.update(caller, id, '"6"', { activateRevision: 9 }), 'policy.invalid')
    assert.deepEqual(details, { member: 'activate_revision' })
  })

  test('a document that says which revision it is must be read at the active or the latest one', async () => {
    const { caller, policies } = await parts()
    const read = async (revision: number) =>
      JSON.parse((await policies.revision(caller.tenantId, id, revision)).text) as Record<string, unknown>
    const { id } = await policies.create(caller, { document: documentOf('a', { revision: 12 }) })
    assert.equal((await read(1))['revision'], 1, 'a new policy begins at 1, whatever its document says')
    await policies.update(caller, id, '"1"', { document: await read(1) })
    await policies.update(caller, id, '"2"', { document: await read(2), activate: false })
    assert.deepEqual([(await read(2))['revision'], (await read(3))['revision']], [2, 3])
    const { message } = await errorOf(
      policies.update(caller, id, '"3"', { document: await read(1) }),
      'precondition.failed',
    )
    assert.match(message, /^document\.revision: .*revision 2/)
    await policies.update(caller, id, '"3"', { document: await read(2) })
    await policies.update(caller, id, '"4"', { document: await read(4) })
    assert.deepEqual(Object.keys(await read(5)), Object.keys(documentOf('a', { revision: 12 })), 'in its place')
    for (const revision of ['1', 1.5, null, 0, {}])
      await errorOf(
        policies.update(caller, id, '"5"', { document: documentOf('a', { revision }) }),
        revision === 0 ? 'precondition.failed' : 'policy.invalid',
      )
  })

  const conditions: { ifMatch: string | undefined; code: ErrorCode }[] = [
    { ifMatch: undefined, code: 'precondition.required' },
    { ifMatch: '"2"', code: 'precondition.failed' },
    { ifMatch: 'W/"1"', code: 'precondition.failed' },
    { ifMatch: '1', code: 'precondition.failed' },
    { ifMatch: '*', code: 'precondition.failed' },
    { ifMatch: '"1", "2"', code: 'precondition.failed' },
    { ifMatch: '"99999999999999999999"', code: 'precondition.failed' },
    { ifMatch: '', code: 'precondition.failed' },
  ]
  for (const { ifMatch, code } of conditions) {
    test(`If-Match ${ifMatch ?? 'absent'} is ${code} and changes nothing; the current ETag passes`, async () => {
      const { caller, policies, audit } = await parts()
      const created = await policies.create(caller, { document: documentOf('a') })
      await errorOf(policies.update(caller, created.id, ifMatch, { document: documentOf('b') }), code)
      await errorOf(policies.update(caller, created.id, ifMatch, { activateRevision: 1 }), code)
      await errorOf(policies.remove(caller, created.id, ifMatch), code)
      assert.deepEqual((await policies.get(caller.tenantId, created.id)).policy, created)
      assert.equal(audit.events.length, 1)
      assert.equal((await policies.update(caller, created.id, '"1"', { name: 'b' })).name, 'b')
      await policies.remove(caller, created.id, '"2"')
      await errorOf(policies.get(caller.tenantId, created.id), 'object.not_found')
    })
  }

  test('of two admins who change one version at once, one is told that it is stale, and one document is stored', async () => {
    const { caller, policies, audit } = await parts()
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const changes = await Promise.allSettled(
      ['b', 'c'].map((topic) => policies.update(caller, id, '"1"', { document: documentOf(topic) })),
    )
    const refused = changes.filter((change) => change.status === 'rejected')
    assert.equal(refused.length, 1)
    assert.equal(refused[0]?.reason.code, 'precondition.failed')
    const { policy } = await policies.get(caller.tenantId, id)
    assert.deepEqual([policy.version, policy.latestRevision], [2, 2])
    assert.equal(audit.events.length, 2)
  })

  test("another tenant's policy answers exactly as one that never was, whatever the request", async () => {
    const { caller, policies } = await parts()
    const owner = await parts()
    const theirs = await owner.policies.create(owner.caller, { document: documentOf('a') })
    const { tenantId } = caller
    const asked = { identity: {}, requests: [{ action: 'publish', topic: 'a' } as const], delivery: true, trace: true }
    const asks: ((id: string) => Promise<unknown>)[] = [
      (id) => policies.get(tenantId, id),
      (id) => policies.revisions(tenantId, id, { limit: 1 }),
      (id) => policies.revision(tenantId, id, 1),
      (id) => policies.update(caller, id, '"1"', { name: 'b' }),
      (id) => policies.update(caller, id, '"9"', { document: {} }),
      (id) => policies.update(caller, id, '*', { activateRevision: 1 }),
      (id) => policies.remove(caller, id, '"1"'),
      (id) => policies.simulate(tenantId, { ...asked, policyId: id }),
      (id) => policies.simulate(tenantId, { ...asked, policyId: id, revision: 1 }),
    ]
    for (const ask of asks) {
      const foreign = await errorOf(ask(theirs.id), 'object.not_found')
      for (const id of [newId('pol'), 'pol_x', '', 'a/b', '\u0000', '__proto__']) {
        const { message, details } = await errorOf(ask(id), 'object.not_found')
        assert.deepEqual([message, details], [foreign.message, foreign.details])
      }
    }
    assert.equal(await policies.active(tenantId, theirs.id), undefined)
    assert.equal(await policies.hold(database.db, tenantId, theirs.id), false)
    assert.deepEqual(await policies.list(tenantId, { limit: 10 }), { items: [], nextAfter: null })
    assert.equal(await owner.policies.hold(database.db, owner.caller.tenantId, theirs.id), true)
  })

  test('without its audit row a change is not made', async () => {
    const { caller, policies, audit } = await parts()
    const created = await policies.create(caller, { document: documentOf('a') })
    audit.failing = true
    await errorOf(policies.create(caller, { document: documentOf('a') }), 'audit.unavailable')
    await errorOf(policies.update(caller, created.id, '"1"', { document: documentOf('b') }), 'audit.unavailable')
    await errorOf(policies.update(caller, created.id, '"1"', { activateRevision: 1 }), 'audit.unavailable')
    await errorOf(policies.remove(caller, created.id, '"1"'), 'audit.unavailable')
    audit.failing = false
    assert.deepEqual(await policies.list(caller.tenantId, { limit: 10 }), { items: [created], nextAfter: null })
    assert.equal((await policies.revisions(caller.tenantId, created.id, { limit: 10 })).items.length, 1)
    await policies.remove(caller, created.id, '"1"')
    assert.deepEqual([lastEvent(audit)?.action, lastEvent(audit)?.detail?.sha256], ['policies.delete', created.sha256])
  })

  test('a policy that integrations name is not deleted; the refusal lists them', async () => {
    const { caller, policies, users } = await parts()
    const { id } = await policies.create(caller, { document: documentOf('a') })
    users.push('int_1', 'int_2')
    const { details } = await errorOf(policies.remove(caller, id, '"1"'), 'object.in_use')
    assert.deepEqual(details, { integrations: ['int_1', 'int_2'] })
    assert.equal((await policies.active(caller.tenantId, id))?.revision, 1)
    users.length = 0
    await policies.remove(caller, id, '"1"')
    const { rows } = await database.db.query('select 1 from policy_revisions where policy_id = $1', [id])
    assert.equal(rows.length, 0, 'its documents go with it')
  })

  test('pages follow each other and end, for policies and for revisions', async () => {
    const { caller, policies, clock } = await parts()
    const ids: string[] = []
    for (let i = 0; i < 3; i++) {
      clock.advance(1)
      ids.push((await policies.create(caller, { document: documentOf('a') })).id)
    }
    const first = await policies.list(caller.tenantId, { limit: 2 })
    const second = await policies.list(caller.tenantId, { limit: 2, after: first.nextAfter ?? undefined })
    assert.deepEqual(
      [...first.items, ...second.items].map(({ id }) => id),
      ids,
    )
    assert.deepEqual([first.nextAfter, second.nextAfter], [ids[1], null])
    const id = ids[0] ?? ''
    for (let version = 1; version <= 3; version++)
      await policies.update(caller, id, `"${version}"`, { document: documentOf('b') })
    const newest = await policies.revisions(caller.tenantId, id, { limit: 3 })
    const oldest = await policies.revisions(caller.tenantId, id, { limit: 3, after: newest.nextAfter ?? undefined })
    assert.deepEqual(
      [newest, oldest].map(({ items }) => items.map(({ revision }) => revision)),
      [[4, 3, 2], [1]],
    )
    assert.deepEqual([newest.nextAfter, oldest.nextAfter], ['2', null])
  })

  test('old revisions are pruned, but never the one that decides', async () => {
    const { caller, policies } = await parts()
    const { id } = await policies.create(caller, { document: documentOf('a') })
    await database.db.query('update policies set latest_revision = $2 where id = $1', [id, KEPT_REVISIONS])
    await database.db.query(
      `insert into policy_revisions select tenant_id, policy_id, n, document, sha256, bytes, rules, created_at, created_by
       from policy_revisions, generate_series(2, $2) n where policy_id = $1`,
      [id, KEPT_REVISIONS],
    )
    const kept = async () =>
      (await policies.revisions(caller.tenantId, id, { limit: 1000 })).items.map(({ revision }) => revision)
    assert.equal((await kept()).length, KEPT_REVISIONS)
    await policies.update(caller, id, '"1"', { document: documentOf('b'), activate: false })
    assert.equal((await kept()).length, KEPT_REVISIONS + 1, 'revision 1 decides')
    await policies.update(caller, id, '"2"', { document: documentOf('c') })
    const numbers = await kept()
    assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [KEPT_REVISIONS, KEPT_REVISIONS + 2, 3])
    await errorOf(policies.revision(caller.tenantId, id, 1), 'object.not_found')
  })

  test('a tenant has a bounded number of policies and bytes, and no other tenant pays for it', async () => {
    const { caller, policies } = await parts()
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const fill = (n: number, bytes: number) =>
      database.db.query(
        `with made as (
           insert into policies select tenant_id, id || n, name, 1, 1, 1, created_at, updated_at
           from policies, generate_series(1, $2) n where id = $1 returning tenant_id, id)
         insert into policy_revisions select made.tenant_id, made.id, 1, r.document, r.sha256, $3, r.rules, r.created_at, r.created_by
         from made, policy_revisions r where r.policy_id = $1 and r.revision = 1`,
        [id, n, bytes],
      )
    await fill(MAX_POLICIES - 2, 1)
    await policies.create(caller, { document: documentOf('a') })
    const { message } = await errorOf(policies.create(caller, { document: documentOf('a') }), 'quota.exceeded')
    assert.match(message, new RegExp(String(MAX_POLICIES)))
    await policies.update(caller, id, '"1"', { document: documentOf('b') })

    await database.db.query('update policy_revisions set bytes = $2 where policy_id = $1 and revision = 1', [
      id,
      MAX_STORED_BYTES,
    ])
    await errorOf(policies.update(caller, id, '"2"', { document: documentOf('c') }), 'quota.exceeded')
    await policies.update(caller, id, '"2"', { name: 'still possible' })
    const other = await parts()
    await other.policies.create(other.caller, { document: documentOf('a') })
  })
})
