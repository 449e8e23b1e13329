import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { createKeyOperations, type KeyOperations } from '#src/keys/key-operations.ts'
import { countByPepper } from '#src/tenants/api-key-store.ts'
import { createAuthenticate } from '#src/tenants/authenticate.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'
import { everyKey, keyOperationsOf } from '#test/support/key-operations.ts'

const address = '192.0.2.1'
const refusal = { code: 'auth.unauthenticated' }

describe('rotation of the pepper', () => {
  let deployment: TestDeployment
  let operations: KeyOperations
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
    operations = keyOperationsOf(deployment)
  })
  after(() => deployment.drop())
  beforeEach(async () => {
    await deployment.authenticate.settled()
    await deployment.db.query('update api_keys set revoked_at = now() where revoked_at is null')
    owner = await deployment.tenant()
    deployment.audit.events.length = 0
  })

  async function rotate(): Promise<{ old: string; now: string }> {
    const { keyId, replacedId } = await operations.replace('api-key-pepper')
    await deployment.keys.reload()
    return { old: replacedId, now: keyId }
  }
  const pepperOf = async (id: string) =>
    (await deployment.db.query<{ pepper_id: string }>(`select pepper_id from api_keys where id = $1`, [id])).rows[0]
      ?.pepper_id
  const countsOf = async (id: string) => (await operations.list()).find((key) => key.id === id)?.counts
  /** Another process, that has not cached anything. */
  const elsewhere = () => createAuthenticate(deployment)

  test('no API key stops working: each is let in under the old pepper, and moves to the new one beside the request', async () => {
    const { old, now } = await rotate()
    assert.equal(deployment.keys.pepper.id, now)
    assert.deepEqual(await countsOf(old), { ...(await countsOf(old)), api_keys: 1 })
    assert.equal((await deployment.authenticate(owner.ownerKey, address)).keyId, owner.principal.keyId)
    await deployment.authenticate.settled()
    assert.equal(await pepperOf(owner.principal.keyId), now)
    assert.equal((await countsOf(old))?.['api_keys'], 0)
    assert.equal((await countsOf(now))?.['api_keys'], 1)
    await elsewhere()(owner.ownerKey, address)
    assert.deepEqual(
      deployment.audit.events
        .filter(({ action }) => action === 'api_keys.redigest')
        .map(({ tenantId, object, detail }) => [tenantId, object?.id, detail]),
      [[owner.principal.tenantId, owner.principal.keyId, { pepper_id: now, replaced_id: old }]],
    )
  })

  test('a key that is presented a hundred times at once, to two processes, moves once', async () => {
    const { now } = await rotate()
    const there = elsewhere()
    const calls = Array.from({ length: 100 }, (_, i) =>
      (i % 2 ? there : deployment.authenticate)(owner.ownerKey, address),
    )
    await Promise.all(calls)
    await Promise.all([deployment.authenticate.settled(), there.settled()])
    assert.equal(await pepperOf(owner.principal.keyId), now)
    assert.equal(deployment.audit.events.filter(({ action }) => action === 'api_keys.redigest').length, 1)
  })

  test('the counts of a list add up, also when keys move while it is made', async () => {
    const counting = createKeyOperations({
      ...deployment,
      counters: [],
      async countApiKeys(db) {
        await rotate()
        await deployment.authenticate(owner.ownerKey, address)
        await deployment.authenticate.settled()
        return countByPepper(db, new Date(deployment.clock.now()))
      },
    })
    const counts = (await counting.list()).map((key) => key.counts['api_keys'] ?? 0)
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1,
    )
  })

  test('a wrong secret, and a key that may not be used, move nothing', async () => {
    const made = await deployment.apiKeys.create(owner.caller, owner.principal, {
      name: 'there',
      role: 'viewer',
      allowedAddresses: ['198.51.100.7'],
    })
    const { old } = await rotate()
    await assert.rejects(deployment.authenticate(made.secret.reveal(), address), refusal)
    await deployment.authenticate.settled()
    assert.equal(await pepperOf(made.apiKey.id), old)
  })

  test('a move that cannot be audited does not keep the caller out, changes nothing, and is tried again', async () => {
    const { old, now } = await rotate()
    deployment.audit.failing = true
    await deployment.authenticate(owner.ownerKey, address)
    await deployment.authenticate.settled()
    assert.equal(await pepperOf(owner.principal.keyId), old)
    deployment.audit.failing = false
    await deployment.authenticate(owner.ownerKey, address)
    await deployment.authenticate.settled()
    assert.equal(await pepperOf(owner.principal.keyId), now)
  })

  test('two rotations on: a key under the oldest pepper moves to the newest', async () => {
    await rotate()
    const { now } = await rotate()
    await deployment.authenticate(owner.ownerKey, address)
    await deployment.authenticate.settled()
    assert.equal(await pepperOf(owner.principal.keyId), now)
  })

  test('a process that has not heard of the new pepper lets its keys in all the same', async () => {
    const { keyId } = await operations.replace('api-key-pepper') // not reloaded here
    assert.notEqual(deployment.keys.pepper.id, keyId)
    await deployment.db.query(`update api_keys set pepper_id = $1 where id = $2`, ['pep_nobody', owner.principal.keyId])
    await assert.rejects(elsewhere()(owner.ownerKey, address), refusal)
    assert.equal(deployment.keys.pepper.id, keyId, 'it asked')
  })

  test('a pepper that API keys are under is not destroyed, unless forced, and then it says how many stopped', async () => {
    const { old } = await rotate()
    await assert.rejects(operations.destroy(old), { code: 'object.in_use', message: /^1 API keys/ })
    assert.equal(
      await deployment.authenticate(owner.ownerKey, address).then(({ keyId }) => keyId),
      owner.principal.keyId,
    )
    await deployment.authenticate.settled()

    const second = await deployment.tenant('second')
    const again = await rotate()
    assert.deepEqual(await operations.destroy(again.old, { force: true }), { keyId: again.old, apiKeys: 2 })
    await deployment.keys.reload()
    for (const key of [owner.ownerKey, second.ownerKey]) {
      await assert.rejects(deployment.authenticate(key, address), refusal)
      await assert.rejects(elsewhere()(key, address), refusal)
    }
    const destroyed = deployment.audit.events.find(({ action }) => action === 'keys.destroy')
    assert.deepEqual(destroyed?.detail, {
      purpose: 'api-key-pepper',
      state: 'destroyed',
      api_keys: 2,
      forced: true,
    })
  })

  test('upkeep destroys a retired pepper when the last API key has left it; revoked and expired ones do not hold it', async () => {
    const expiring = await deployment.apiKeys.create(owner.caller, owner.principal, {
      name: 'short',
      role: 'viewer',
      expiresAt: new Date(deployment.clock.now() + 60_000),
    })
    await operations.upkeep(everyKey)
    const { old } = await rotate()
    assert.equal(await operations.upkeep(everyKey), 0)
    await deployment.authenticate(owner.ownerKey, address)
    await deployment.authenticate.settled()
    assert.equal(await operations.upkeep(everyKey), 0, `${expiring.apiKey.id} is still under it`)
    deployment.clock.advance(60_001)
    assert.equal(await operations.upkeep(everyKey), 1)
    assert.equal((await operations.list()).find(({ id }) => id === old)?.state, 'destroyed')
    await deployment.keys.reload()
    await deployment.authenticate(owner.ownerKey, address)
  })

  test('an API key cannot be made under a pepper that is destroyed meanwhile', async () => {
    const { active } = deployment.peppers
    const stale = { active, find: deployment.peppers.find, refresh: deployment.peppers.refresh }
    const { createApiKeys } = await import('#src/tenants/api-keys.ts')
    await rotate()
    await operations.destroy(active.id, { force: true })
    const late = createApiKeys({ ...deployment, peppers: stale, forget: () => undefined })
    await assert.rejects(late.create(owner.caller, owner.principal, { name: 'late' }), { code: 'vault.unavailable' })
  })
})
