import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { equalBytes, utf8 } from '#src/core/bytes.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import { localFeed, type TestDeployment, testDeployment } from '#test/support/deployment.ts'

describe('keys of tenants', () => {
  let deployment: TestDeployment
  before(async () => {
    deployment = await testDeployment()
  })
  after(() => deployment.drop())

  test('a vault key is made once, also by requests and processes that race', async () => {
    const { principal } = await deployment.tenant()
    const other = createTenantKeys(deployment)
    const made = await Promise.all(
      [1, 2, 3].flatMap(() => [deployment.tenantKeys, other].map((keys) => keys.vaultKey(principal.tenantId))),
    )
    assert.equal(made.length, 6)
    assert.equal(new Set(made.map(({ keyId }) => keyId)).size, 1)
    const { rows } = await deployment.db.query(`select 1 from keys where tenant_id = $1 and purpose = 'vault-key'`, [
      principal.tenantId,
    ])
    assert.equal(rows.length, 1)
  })

  test('what is sealed to the public half opens with the private one', async () => {
    const { principal } = await deployment.tenant()
    const { keyId, kem } = await deployment.tenantKeys.vaultKey(principal.tenantId)
    const { ciphertext, sharedSecret } = kem.encapsulate()
    const opened = (await deployment.tenantKeys.kemPrivateKey(principal.tenantId, keyId)).decapsulate(ciphertext)
    assert.ok(equalBytes(opened, sharedSecret))
  })

  test('two tenants have different keys, and one cannot use the other’s by its id', async () => {
    const [one, two] = [(await deployment.tenant()).principal, (await deployment.tenant()).principal]
    const { keyId } = await deployment.tenantKeys.vaultKey(one.tenantId)
    assert.notEqual((await deployment.tenantKeys.vaultKey(two.tenantId)).keyId, keyId)
    await assert.rejects(deployment.tenantKeys.kemPrivateKey(two.tenantId, keyId), { code: 'vault.unavailable' })
    assert.ok(await deployment.tenantKeys.kemPrivateKey(one.tenantId, keyId))
  })

  test('a key serves its purpose only: a MAC key is no decapsulation key, though its secret has the size of a seed', async () => {
    const { principal } = await deployment.tenant()
    const { stored } = await deployment.tenantKeys.newMacKey(principal.tenantId)
    await deployment.tenantKeys.insert(deployment.db, stored)
    await assert.rejects(deployment.tenantKeys.kemPrivateKey(principal.tenantId, stored.id), {
      code: 'vault.unavailable',
    })
    assert.ok(await deployment.tenantKeys.macKey(principal.tenantId, stored.id))
  })

  test('MAC keys outlive a KMS outage; decapsulation keys are kept for five minutes', async () => {
    const { principal } = await deployment.tenant()
    const { tenantKeys, wrapper, clock } = deployment
    const { stored, secret } = await tenantKeys.newMacKey(principal.tenantId)
    await tenantKeys.insert(deployment.db, stored)
    const { keyId } = await tenantKeys.vaultKey(principal.tenantId)
    await tenantKeys.macKey(principal.tenantId, stored.id)
    await tenantKeys.kemPrivateKey(principal.tenantId, keyId)
    wrapper.down = true
    clock.advance(299_000)
    await tenantKeys.kemPrivateKey(principal.tenantId, keyId)
    clock.advance(2_000)
    await assert.rejects(tenantKeys.kemPrivateKey(principal.tenantId, keyId), { code: 'kms.unavailable' })
    const mac = await tenantKeys.macKey(principal.tenantId, stored.id)
    assert.ok(equalBytes(mac.mac(utf8('m')), deployment.provider.macKey(secret).mac(utf8('m'))))
    wrapper.down = false
    await tenantKeys.kemPrivateKey(principal.tenantId, keyId) // a failure is not kept
  })

  /** The next turn of the loop, in which the announcement arrives. */
  const heard = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

  test('a key that is asked for while it is being destroyed is gone after the commit, in every process', async () => {
    const { principal } = await deployment.tenant()
    const { tenantId } = principal
    const feed = localFeed()
    const other = createTenantKeys({ ...deployment, feed })
    const { stored: mac } = await deployment.tenantKeys.newMacKey(tenantId)
    const seed = await deployment.tenantKeys.newRecipientSeed(tenantId)
    const { stored: twin } = await deployment.tenantKeys.newMacKey(tenantId)
    await deployment.tenantKeys.insert(deployment.db, mac, seed, twin)
    const both = [deployment.tenantKeys, other]
    await deployment.db.transaction(async (tx) => {
      await deployment.tenantKeys.destroy(tx, tenantId, [mac.id, seed.id])
      for (const keys of both) {
        await keys.macKey(tenantId, mac.id)
        await keys.kemPrivateKey(tenantId, seed.id)
      }
    })
    deployment.feed.send('recipient', tenantId) // PostgreSQL announces at the commit, our feed at the statement
    feed.send('recipient', tenantId)
    for (const keys of both) {
      await assert.rejects(keys.macKey(tenantId, mac.id), { code: 'vault.unavailable' })
      await assert.rejects(keys.kemPrivateKey(tenantId, seed.id), { code: 'vault.unavailable' })
      assert.ok(await keys.macKey(tenantId, twin.id))
    }
  })

  test('a lost change feed drops decapsulation keys from memory, and keeps MAC keys', async () => {
    const { principal } = await deployment.tenant()
    const { tenantKeys, wrapper } = deployment
    const { stored } = await tenantKeys.newMacKey(principal.tenantId)
    await tenantKeys.insert(deployment.db, stored)
    const { keyId } = await tenantKeys.vaultKey(principal.tenantId)
    const ask = () =>
      Promise.all([
        tenantKeys.macKey(principal.tenantId, stored.id),
        tenantKeys.kemPrivateKey(principal.tenantId, keyId),
      ])
    await ask()
    wrapper.calls.length = 0
    deployment.feed.send('recipient', undefined)
    await ask()
    assert.deepEqual(
      wrapper.calls.map(({ context }) => context.purpose),
      ['vault-key'],
    )
  })

  test('a destroyed key is gone, from memory too', async () => {
    const { principal } = await deployment.tenant()
    const { stored } = await deployment.tenantKeys.newMacKey(principal.tenantId)
    await deployment.tenantKeys.insert(deployment.db, stored)
    await deployment.tenantKeys.macKey(principal.tenantId, stored.id)
    await deployment.tenantKeys.destroy(deployment.db, principal.tenantId, [stored.id])
    await heard()
    await assert.rejects(deployment.tenantKeys.macKey(principal.tenantId, stored.id), { code: 'vault.unavailable' })
    const { rows } = await deployment.db.query<{ wrapped: unknown }>(`select wrapped from keys where id = $1`, [
      stored.id,
    ])
    assert.deepEqual(rows, [{ wrapped: null }])
  })
})
