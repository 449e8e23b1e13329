import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AuditEvent, Caller } from '#src/audit/audit.ts'
import { AppError, type ErrorCode } from '#src/core/errors.ts'
import { newId, newUuid } from '#src/core/ids.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import type { Db, Queryable } from '#src/db/db.ts'
import { createIntegrationBody, patchIntegrationBody } from '#src/integrations/bodies.ts'
import { etagOf, type StoredIntegration } from '#src/integrations/integration.ts'
import { createIntegrations } from '#src/integrations/integrations.ts'
import { integrationToWire, integrationView } from '#src/integrations/wire.ts'
import { testDatabase } from '#test/support/database.ts'

describe('integrations', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>
  let feed: ChangeFeed
  before(async () => {
    database = await testDatabase()
    feed = await createChangeFeed(database.connection)
  })
  after(async () => {
    await feed.close()
    await database.drop()
  })

  const CREDENTIAL = newUuid()
  const OTHER_TYPE = newUuid()
  const POLICY = newId('pol')
  const GUARDS = { retained: { 'max-size': 10, enabled: true }, qos: { enabled: true, 'max-qos': 1 } }
  const START = Date.parse('2026-11-03T12:00:00Z')

  /** Counts statements, so that a test can say that there were none. */
  function counting(db: Db): Db & { statements: number } {
    const counted = {
      ...db,
      statements: 0,
      query: ((text, values) => {
        counted.statements++
        return db.query(text, values)
      }) as Db['query'],
    }
    return counted
  }

  /** Resolves when this process has heard that something changed. */
  function heard(changed: string): Promise<void> {
    return new Promise((resolve) => {
      feed.on('integration', (key) => {
        if (key === changed) resolve()
      })
    })
  }

  async function newTenant(): Promise<string> {
    const id = newId('ten')
    await database.db.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [id])
    return id
  }

  /** A feed whose announcements never arrive. */
  const silent: ChangeFeed = {
    announce: async () => undefined,
    on: () => undefined,
    live: true,
    close: async () => undefined,
  }

  async function parts(heeded = feed) {
    const clock = { nowMs: START, now: () => clock.nowMs, monotonic: () => clock.nowMs }
    const events: AuditEvent[] = []
    const audit = {
      fails: false,
      async record(...recorded: readonly AuditEvent[]) {
        if (audit.fails) throw new AppError('audit.unavailable', 'down')
        events.push(...recorded)
      },
    }
    const vault = {
      async hold(_tx: Queryable, _tenantId: string, id: string) {
        return [CREDENTIAL, OTHER_TYPE].includes(id)
          ? { credentialType: id === CREDENTIAL ? 'custom_kv' : 'api_key' }
          : undefined
      },
    }
    const db = counting(database.db)
    const caller: Caller = { tenantId: await newTenant(), actor: { id: 'key_test' }, requestId: newId('req') }
    const policies = {
      hold: async (_tx: Queryable, _tenantId: string, id: string) => id === POLICY,
    }
    const integrations = createIntegrations({ db, feed: heeded, audit, clock, vault, policies })
    return { clock, audit, events, db, caller, integrations }
  }

  const inputOf = (more: object = {}) =>
    createIntegrationBody.parse({
      name: 'line 4',
      system_type: 'mqtt',
      credential_id: CREDENTIAL,
      allowed_operations: ['publish'],
      config: { topic: 'a/b' },
      ...more,
    })
  const patchOf = (patch: object) => patchIntegrationBody.parse(patch)

  async function errorOf(work: Promise<unknown>, code: ErrorCode): Promise<AppError> {
    const err = await work.then(
      () => assert.fail(`expected ${code}`),
      (thrown: unknown) => thrown,
    )
    assert.ok(err instanceof AppError, String(err))
    assert.equal(err.code, code)
    return err
  }
  const shown = ({ code, message, details, retryAfterS }: AppError) => ({ code, message, details, retryAfterS })

  test('what is created can be got, found and listed, and renders as its schema says', async () => {
    const { caller, integrations, events } = await parts()
    const created = await integrations.create(caller, inputOf())
    assert.deepEqual(await integrations.get(caller.tenantId, created.id), created)
    assert.deepEqual(await integrations.find(caller.tenantId, created.id), created)
    assert.deepEqual(await integrations.list(caller.tenantId), { items: [created], notUnderstood: [], nextAfter: null })
    assert.equal(etagOf(created), '"1"')
    const wire = integrationToWire(created)
    assert.deepEqual(integrationView.parse(wire), wire)
    assert.deepEqual(wire.allowed_operations, ['publish'])
    assert.equal(wire.created_at, '2026-11-03T12:00:00.000Z')
    assert.deepEqual(events, [
      {
        ...caller,
        action: 'integrations.create',
        outcome: 'success',
        object: { kind: 'integration', id: created.id },
        detail: {
          name: 'line 4',
          credential_id: CREDENTIAL,
          allowed_operations: 'publish',
          policy_id: null,
          guards: null,
          revision: 1,
        },
      },
    ])
  })

  for (const allowed of [undefined, null, []]) {
    test(`allowed_operations ${JSON.stringify(allowed)} is stored as nothing allowed`, async () => {
      const { caller, integrations } = await parts()
      const created = await integrations.create(caller, inputOf({ allowed_operations: allowed }))
      assert.equal((await integrations.find(caller.tenantId, created.id)).allowedOperations.size, 0)
    })
  }

  test('an operation in the database that this release does not know allows nothing', async () => {
    const { caller, integrations } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    await database.db.query(`update integrations set allowed_operations = '{Publish,*,subscribe}' where id = $1`, [id])
    assert.deepEqual([...(await integrations.get(caller.tenantId, id)).allowedOperations], ['subscribe'])
  })

  test('guards in the database that this release does not understand refuse all use; others are ready for it', async () => {
    const { caller, integrations } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    const set = (guards: string | null) =>
      database.db.query('update integrations set guards = $2 where id = $1', [id, guards])
    for (const guards of ['[]', '{"max-qos":1}', '{"qos":{"max-qos":3}}', '"qos"']) {
      await set(guards)
      await assert.rejects(
        integrations.find(caller.tenantId, id),
        { code: 'integration.invalid', message: /^guards: .* not understood/ },
        guards,
      )
      assert.deepEqual((await integrations.get(caller.tenantId, id)).guards, JSON.parse(guards))
    }
    await set(JSON.stringify(GUARDS))
    assert.equal((await integrations.find(caller.tenantId, id)).guards?.qos.maxQos, 1)
  })

  test('policy and guards are kept as they were given, replaced by a change, and taken away with null', async () => {
    const { caller, integrations, events } = await parts()
    const created = await integrations.create(caller, inputOf({ policy_id: POLICY, guards: GUARDS }))
    assert.equal(created.policyId, POLICY)
    assert.equal(JSON.stringify(created.guards), JSON.stringify(GUARDS), 'in the order of the caller')
    assert.deepEqual([events[0]?.detail?.policy_id, events[0]?.detail?.guards], [POLICY, 'retained,qos'])
    const used = await integrations.find(caller.tenantId, created.id)
    assert.equal(used.policyId, POLICY)
    assert.deepEqual([used.guards?.qos.enabled, used.guards?.retained.maxSize], [true, 10])

    const renamed = await integrations.update(caller, created.id, '"1"', patchOf({ name: 'b' }))
    assert.deepEqual([renamed.policyId, renamed.guards], [POLICY, GUARDS], 'what a change does not name stays')
    const replaced = await integrations.update(caller, created.id, '"2"', patchOf({ guards: { qos: {} } }))
    assert.deepEqual([replaced.policyId, replaced.guards], [POLICY, { qos: {} }])
    const bare = await integrations.update(caller, created.id, '"3"', patchOf({ policy_id: null, guards: null }))
    assert.deepEqual([bare.policyId, bare.guards], [null, null])
    const { policyId, guards } = await integrations.find(caller.tenantId, created.id)
    assert.deepEqual([policyId, guards], [null, null])
  })

  test('the policy must be there, at creation and at change', async () => {
    const { caller, integrations, events } = await parts()
    const created = await integrations.create(caller, inputOf())
    const policy_id = newId('pol')
    for (const work of [
      () => integrations.create(caller, inputOf({ policy_id })),
      () => integrations.update(caller, created.id, '"1"', patchOf({ policy_id })),
    ]) {
      const err = await errorOf(work(), 'integration.invalid')
      assert.match(err.message, /^policy_id: /)
      assert.deepEqual(err.details, { member: 'policy_id' })
    }
    assert.equal(events.length, 1)
    assert.equal(
      (await integrations.update(caller, created.id, '"1"', patchOf({ policy_id: POLICY }))).policyId,
      POLICY,
    )
  })

  test('usersOfPolicy names the integrations of a policy, and no others', async () => {
    const { caller, integrations } = await parts()
    const { id } = await integrations.create(caller, inputOf({ policy_id: POLICY }))
    await integrations.create(caller, inputOf())
    assert.deepEqual(await integrations.usersOfPolicy(database.db, caller.tenantId, POLICY), [id])
    assert.deepEqual(await integrations.usersOfPolicy(database.db, newId('ten'), POLICY), [])
    await integrations.update(caller, id, '"1"', patchOf({ policy_id: null }))
    assert.deepEqual(await integrations.usersOfPolicy(database.db, caller.tenantId, POLICY), [])
  })

  test('the credential must be there and hold broker settings, at creation and at change', async () => {
    const { caller, integrations, events } = await parts()
    const created = await integrations.create(caller, inputOf())
    for (const credential_id of [newUuid(), OTHER_TYPE]) {
      const refusals = [
        await errorOf(integrations.create(caller, inputOf({ credential_id })), 'integration.invalid'),
        await errorOf(
          integrations.update(caller, created.id, '"1"', patchOf({ credential_id })),
          'integration.invalid',
        ),
      ]
      for (const err of refusals) {
        assert.match(err.message, /^credential_id: /)
        assert.deepEqual(err.details, { member: 'credential_id' })
      }
    }
    await integrations.update(caller, created.id, '"1"', patchOf({ credential_id: CREDENTIAL }))
    assert.equal(events.length, 2)
  })

  test('a change raises the revision, keeps what it does not name, and says what it changed', async () => {
    const { caller, integrations, events, clock } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    clock.nowMs += 1000
    const changed = await integrations.update(
      caller,
      id,
      '"1"',
      patchOf({ allowed_operations: ['subscribe'], config: { topics: ['x/#'] } }),
    )
    assert.equal(changed.revision, 2)
    assert.equal(changed.name, 'line 4')
    assert.deepEqual([...changed.allowedOperations], ['subscribe'])
    assert.equal(changed.config.topic, undefined)
    assert.deepEqual(changed.config.topics, ['x/#'])
    assert.equal(changed.updatedAt.getTime() - changed.createdAt.getTime(), 1000)
    assert.deepEqual(await integrations.get(caller.tenantId, id), changed)
    assert.equal(events[1]?.detail?.changed, 'allowedOperations,config')
    const closed = await integrations.update(caller, id, '"2"', patchOf({ allowed_operations: null }))
    assert.equal(closed.allowedOperations.size, 0)
  })

  const conditions: { ifMatch: string | undefined; code: ErrorCode }[] = [
    { ifMatch: undefined, code: 'precondition.required' },
    { ifMatch: '"2"', code: 'precondition.failed' },
    { ifMatch: 'W/"1"', code: 'precondition.failed' },
    { ifMatch: '1', code: 'precondition.failed' },
    { ifMatch: '*', code: 'precondition.failed' },
    { ifMatch: '"1", "2"', code: 'precondition.failed' },
    { ifMatch: '"01"', code: 'precondition.failed' },
    { ifMatch: '"99999999999999999999"', code: 'precondition.failed' },
    { ifMatch: '', code: 'precondition.failed' },
  ]
  for (const { ifMatch, code } of conditions) {
    test(`If-Match ${ifMatch ?? 'absent'} is ${code} and changes nothing; the current ETag passes`, async () => {
      const { caller, integrations, events } = await parts()
      const created = await integrations.create(caller, inputOf())
      await errorOf(integrations.update(caller, created.id, ifMatch, patchOf({ name: 'b' })), code)
      await errorOf(integrations.remove(caller, created.id, ifMatch), code)
      assert.deepEqual(await integrations.get(caller.tenantId, created.id), created)
      assert.equal(events.length, 1)
      assert.equal((await integrations.update(caller, created.id, '"1"', patchOf({ name: 'b' }))).name, 'b')
      await integrations.remove(caller, created.id, '"2"')
      await errorOf(integrations.get(caller.tenantId, created.id), 'object.not_found')
    })
  }

  test('of 20 changes to one revision at once exactly one is made', async () => {
    const { caller, integrations, events } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    const changes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => integrations.update(caller, id, '"1"', patchOf({ name: `name ${i}` }))),
    )
    const refused = changes.filter((change) => change.status === 'rejected')
    assert.equal(refused.length, 19)
    for (const { reason } of refused) assert.equal((reason as AppError).code, 'precondition.failed')
    assert.equal((await integrations.get(caller.tenantId, id)).revision, 2)
    assert.equal(events.length, 2)
  })

  test("another tenant's integration answers exactly as one that never was, whatever the request", async () => {
    const { caller, integrations } = await parts()
    const theirs = await integrations.create({ ...caller, tenantId: await newTenant() }, inputOf())
    await integrations.find(theirs.tenantId, theirs.id)
    const asks: ((id: string) => Promise<unknown>)[] = [
      (id) => integrations.get(caller.tenantId, id),
      (id) => integrations.find(caller.tenantId, id),
      (id) => integrations.update(caller, id, '"1"', patchOf({ name: 'b' })),
      (id) => integrations.update(caller, id, '"9"', patchOf({ name: 'b' })),
      (id) => integrations.update(caller, id, '"1"', patchOf({ credential_id: newUuid() })),
      (id) => integrations.update(caller, id, '*', patchOf({ name: 'b' })),
      (id) => integrations.remove(caller, id, '"1"'),
      (id) => integrations.remove(caller, id, 'W/"1"'),
    ]
    for (const ask of asks) {
      const foreign = shown(await errorOf(ask(theirs.id), 'object.not_found'))
      for (const id of [newId('int'), 'int_x', '', 'a/b', '\u0000', '__proto__']) {
        assert.deepEqual(shown(await errorOf(ask(id), 'object.not_found')), foreign)
      }
    }
    assert.deepEqual(await integrations.get(theirs.tenantId, theirs.id), theirs)
    assert.deepEqual(await integrations.list(caller.tenantId), { items: [], notUnderstood: [], nextAfter: null })
    assert.deepEqual(await integrations.usersOf(database.db, caller.tenantId, CREDENTIAL), [])
  })

  test('without its audit row a change is not made', async () => {
    const { caller, integrations, audit } = await parts()
    const created = await integrations.create(caller, inputOf())
    audit.fails = true
    await errorOf(integrations.create(caller, inputOf()), 'audit.unavailable')
    await errorOf(integrations.update(caller, created.id, '"1"', patchOf({ name: 'b' })), 'audit.unavailable')
    await errorOf(integrations.remove(caller, created.id, '"1"'), 'audit.unavailable')
    audit.fails = false
    assert.deepEqual(await integrations.list(caller.tenantId), { items: [created], notUnderstood: [], nextAfter: null })
    await integrations.remove(caller, created.id, '"1"')
  })

  test('find asks the database once, and is current as soon as a change has been answered', async () => {
    const { caller, integrations, db } = await parts(silent)
    const { id } = await integrations.create(caller, inputOf())
    await integrations.find(caller.tenantId, id)
    const before = db.statements
    for (let i = 0; i < 100; i++) await integrations.find(caller.tenantId, id)
    assert.equal(db.statements, before)
    await integrations.update(caller, id, '"1"', patchOf({ allowed_operations: [] }))
    assert.equal((await integrations.find(caller.tenantId, id)).allowedOperations.size, 0)
    await integrations.remove(caller, id, '"2"')
    await errorOf(integrations.find(caller.tenantId, id), 'object.not_found')
  })

  test('guards are parsed once for a revision, also while every use asks the database', async () => {
    const { caller, integrations, db } = await parts({ ...silent, live: false })
    const { id } = await integrations.create(caller, inputOf({ guards: GUARDS }))
    const first = await integrations.find(caller.tenantId, id)
    const before = db.statements
    const again = await integrations.find(caller.tenantId, id)
    assert.equal(db.statements, before + 1)
    assert.ok(first.guards)
    assert.equal(again.guards, first.guards)
    await integrations.update(caller, id, '"1"', patchOf({ guards: { qos: { enabled: true, 'max-qos': 0 } } }))
    const changed = await integrations.find(caller.tenantId, id)
    assert.deepEqual([changed.revision, changed.guards?.qos.maxQos], [2, 0])
    await integrations.update(caller, id, '"2"', patchOf({ guards: null }))
    assert.equal((await integrations.find(caller.tenantId, id)).guards, null)
  })

  test('another replica that has it cached learns of a change', async () => {
    const { caller, integrations } = await parts()
    const { integrations: replica } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    assert.equal((await replica.find(caller.tenantId, id)).revision, 1)
    const announced = heard(`${caller.tenantId}/${id}`)
    await integrations.update(caller, id, '"1"', patchOf({ name: 'b' }))
    await announced
    assert.equal((await replica.find(caller.tenantId, id)).revision, 2)
  })

  test('a list goes on behind the last id of the page before, and ends', async () => {
    const { caller, integrations, clock } = await parts()
    const ids: string[] = []
    for (let i = 0; i < 5; i++) {
      clock.nowMs += 1
      ids.push((await integrations.create(caller, inputOf({ name: `n${i}` }))).id)
    }
    const seen: StoredIntegration[] = []
    let after: string | null | undefined
    let pages = 0
    while (after !== null) {
      const page = await integrations.list(caller.tenantId, { limit: 2, ...(after !== undefined && { after }) })
      seen.push(...page.items)
      after = page.nextAfter
      pages++
    }
    assert.equal(pages, 3)
    assert.deepEqual(
      seen.map((integration) => integration.id),
      ids,
    )
  })

  test('usersOf names the integrations of a credential, and no others', async () => {
    const { caller, integrations } = await parts()
    const { id } = await integrations.create(caller, inputOf())
    assert.deepEqual(await integrations.usersOf(database.db, caller.tenantId, CREDENTIAL), [id])
    assert.deepEqual(await integrations.usersOf(database.db, caller.tenantId, OTHER_TYPE), [])
    await integrations.remove(caller, id, '"1"')
    assert.deepEqual(await integrations.usersOf(database.db, caller.tenantId, CREDENTIAL), [])
  })
})
