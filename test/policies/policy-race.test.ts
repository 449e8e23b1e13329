import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AuditEvent, Caller } from '#src/audit/audit.ts'
import { newId, newUuid } from '#src/core/ids.ts'
import { silentLog } from '#src/core/log.ts'
import { createIntegrationBody, patchIntegrationBody } from '#src/integrations/bodies.ts'
import { createIntegrations } from '#src/integrations/integrations.ts'
import { createPolicies } from '#src/policies/policies.ts'
import { createPolicyWorkers } from '#src/policies/policy-workers.ts'
import { eventually } from '#test/audit/parts.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { localFeed, testClock } from '#test/support/deployment.ts'
import { documentOf } from './parts.ts'

/** Each is a change that another request can come into the middle of, which is when its row is recorded. */
describe('a policy that is deleted while an integration comes to name it', () => {
  let database: TestDatabase
  const workers = createPolicyWorkers()
  before(async () => {
    database = await testDatabase()
  })
  after(async () => {
    await workers.close()
    await database.drop()
  })

  /** Policies and integrations as the server joins them; `meanwhile` begins while a row of `action` is recorded. */
  async function parts(action: string) {
    const tenantId = newId('ten')
    await database.db.query('insert into tenants (id, name, created_at) values ($1, $1, now())', [tenantId])
    const caller: Caller = { tenantId, actor: { id: newId('key') }, requestId: newId('req') }
    const race: { meanwhile?: () => Promise<unknown>; ended?: Promise<unknown> } = {}
    const audit = {
      async record(...events: readonly AuditEvent[]) {
        if (race.ended || events[0]?.action !== action || !race.meanwhile) return
        race.ended = race.meanwhile().then(
          () => 'done',
          (err: { code: string }) => err.code,
        )
        await eventually(async () => {
          const { rows } = await database.db.query('select 1 from pg_locks where not granted')
          return rows.length > 0 || undefined
        })
      },
    }
    const deps = { db: database.db, feed: localFeed(), audit, clock: testClock() }
    const policies = createPolicies({
      ...deps,
      log: silentLog,
      workers,
      usersOf: (tx, tenant, id) => integrations.usersOfPolicy(tx, tenant, id),
    })
    const vault = { hold: async () => ({ credentialType: 'custom_kv' }) }
    const integrations = createIntegrations({ ...deps, vault, policies })
    const { id } = await policies.create(caller, { document: documentOf('a') })
    const bodyOf = (more: object = {}) =>
      createIntegrationBody.parse({ name: 'x', system_type: 'mqtt', credential_id: newUuid(), ...more })
    return { caller, policies, integrations, id, bodyOf, race }
  }

  test('deleting waits for the creation, and is refused', async () => {
    const { caller, policies, integrations, id, bodyOf, race } = await parts('integrations.create')
    race.meanwhile = () => policies.remove(caller, id, '"1"')
    const created = await integrations.create(caller, bodyOf({ policy_id: id }))
    assert.equal(await race.ended, 'object.in_use')
    assert.equal((await policies.active(caller.tenantId, id))?.revision, 1)
    await integrations.remove(caller, created.id, '"1"')
    await policies.remove(caller, id, '"1"')
  })

  test('deleting waits for the change to the policy, and is refused', async () => {
    const { caller, policies, integrations, id, bodyOf, race } = await parts('integrations.update')
    const created = await integrations.create(caller, bodyOf())
    race.meanwhile = () => policies.remove(caller, id, '"1"')
    await integrations.update(caller, created.id, '"1"', patchIntegrationBody.parse({ policy_id: id }))
    assert.equal(await race.ended, 'object.in_use')
  })

  test('creating waits for the deletion, and is refused', async () => {
    const { caller, policies, integrations, id, bodyOf, race } = await parts('policies.delete')
    race.meanwhile = () => integrations.create(caller, bodyOf({ policy_id: id }))
    await policies.remove(caller, id, '"1"')
    assert.equal(await race.ended, 'integration.invalid')
    assert.deepEqual((await integrations.list(caller.tenantId)).items, [])
  })

  test('a new revision does not wait for an integration that comes to name the policy', async () => {
    const { caller, policies, integrations, id, bodyOf, race } = await parts('integrations.create')
    let updated: Promise<unknown> | undefined
    race.meanwhile = async () => {
      updated = policies.update(caller, id, '"1"', { document: documentOf('b') })
      await updated
      await policies.remove(caller, id, '"2"') // the lock that the row of the creation waits for
    }
    await integrations.create(caller, bodyOf({ policy_id: id }))
    await updated
    assert.equal(await race.ended, 'object.in_use')
    assert.equal((await policies.active(caller.tenantId, id))?.revision, 2)
  })
})
