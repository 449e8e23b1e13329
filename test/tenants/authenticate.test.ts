import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createChangeFeed } from '#src/db/change-feed.ts'
import { formatApiKey, parseApiKey } from '#src/tenants/api-key.ts'
import { createApiKeys } from '#src/tenants/api-keys.ts'
import { createAuthenticate } from '#src/tenants/authenticate.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const address = '192.0.2.1'
const refusal = { code: 'auth.unauthenticated', message: 'No valid API key was presented.', details: undefined }

describe('authenticate', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  const issue = async (input: Partial<Parameters<TestDeployment['apiKeys']['create']>[2]> = {}) => {
    const made = await deployment.apiKeys.create(owner.caller, owner.principal, {
      name: 'line 4',
      role: 'editor',
      ...input,
    })
    return { id: made.apiKey.id, key: made.secret.reveal() }
  }

  test('a key is its tenant, its role and its scopes', async () => {
    const { id, key } = await issue({ role: 'editor', scopes: ['proxy:publish', 'vault:read'] })
    const principal = await deployment.authenticate(key, address)
    const { tenantId } = owner.principal
    assert.deepEqual(
      { ...principal, scopes: [...principal.scopes].sort() },
      { tenantId, keyId: id, role: 'editor', sandbox: false, scopes: ['proxy:publish', 'vault:read'] },
    )
  })

  test('scopes that the role does not have mean nothing, whoever wrote them to the table', async () => {
    const { id, key } = await issue({ role: 'viewer' })
    await deployment.db.query(`update api_keys set scopes = array_append(scopes, 'vault:unseal') where id = $1`, [id])
    assert.equal((await deployment.authenticate(key, address)).scopes.has('vault:unseal'), false)
    await deployment.db.query(`update api_keys set role = 'admin' where id = $1`, [id])
    assert.equal((await deployment.replica().authenticate(key, address)).scopes.has('vault:unseal'), true)
  })

  test('a known key costs no SQL', async () => {
    const { key } = await issue()
    await deployment.authenticate(key, address)
    const before = deployment.db.statements
    for (let i = 0; i < 20; i++) await deployment.authenticate(key, address)
    assert.equal(deployment.db.statements, before)
  })

  test('what is no key never reaches the database', async () => {
    const { key } = await issue()
    const flipped = key.slice(0, 50) + (key[50] === 'A' ? 'B' : 'A') + key.slice(51)
    const presented = [
      undefined,
      '',
      'qs_live_',
      key.slice(0, 35),
      flipped,
      `${key}0`,
      key.repeat(12_484),
      key.toLowerCase(),
    ]
    const before = deployment.db.statements
    assert.equal(presented.length, 8)
    for (const one of presented) await assert.rejects(deployment.authenticate(one, address), refusal)
    assert.equal(deployment.db.statements, before)
    await deployment.authenticate(key, address)
    assert.ok(deployment.db.statements > before, 'the counting database counts')
  })

  test('an unknown key, the right id with a wrong secret, and another tenant’s secret are refused alike', async () => {
    const { id, key } = await issue()
    const wrongSecret = formatApiKey('live', id, new Uint8Array(32)).reveal()
    const unknown = formatApiKey('live', 'key_01kat4hvr07rf9mm9f7nrvz4gg', new Uint8Array(32)).reveal()
    for (const presented of [wrongSecret, unknown]) {
      await assert.rejects(deployment.authenticate(presented, address), refusal)
      await assert.rejects(deployment.authenticate(presented, address), refusal) // cached or not
    }
    assert.equal((await deployment.authenticate(key, address)).keyId, id)
  })

  test('a digest moved to the row of another key, or of another tenant, opens nothing', async () => {
    const other = await deployment.tenant('other')
    const [mine, victim] = [await issue(), other.principal.keyId]
    const secret = parseApiKey(mine.key)?.secret.reveal()
    assert.ok(secret)
    await deployment.db.query(
      `update api_keys set digest = (select digest from api_keys where id = $1) where id = $2`,
      [mine.id, victim],
    )
    await assert.rejects(deployment.replica().authenticate(other.ownerKey, address), refusal)
    await assert.rejects(
      deployment.replica().authenticate(mine.key.replace(mine.id.slice(4), victim.slice(4)), address),
      refusal,
    )
    await deployment.db.query(`update api_keys set tenant_id = $1 where id = $2`, [other.principal.tenantId, mine.id])
    await assert.rejects(deployment.replica().authenticate(mine.key, address), refusal)
    await deployment.db.query(`update api_keys set tenant_id = $1 where id = $2`, [owner.principal.tenantId, mine.id])
    await deployment.replica().authenticate(mine.key, address)
  })

  test('a key expires at its time, also when it is cached', async () => {
    const { key } = await issue({ expiresAt: new Date(deployment.clock.now() + 60_000) })
    deployment.clock.advance(59_999)
    await deployment.authenticate(key, address)
    deployment.clock.advance(1)
    await assert.rejects(deployment.authenticate(key, address), refusal)
  })

  test('a key is good from its addresses only, also when it is cached', async () => {
    const { key } = await issue({ allowedAddresses: ['192.0.2.0/28', '2001:db8::7'] })
    for (const good of ['192.0.2.1', '192.0.2.15', '2001:db8::7', '::ffff:192.0.2.1'])
      await deployment.authenticate(key, good)
    for (const bad of ['192.0.2.16', '2001:db8::8', ''])
      await assert.rejects(deployment.authenticate(key, bad), refusal)
  })

  test('a key of the other kind is refused: test keys belong to sandboxes', async () => {
    const { id, key } = await issue()
    const sandbox = await deployment.tenant('sandbox', true)
    assert.ok(sandbox.ownerKey.startsWith('qs_test_') && sandbox.principal.sandbox)
    await deployment.authenticate(key, address)
    await deployment.db.query(`update tenants set sandbox = true where id = $1`, [owner.principal.tenantId])
    await assert.rejects(deployment.replica().authenticate(key, address), refusal)
    await deployment.db.query(`update tenants set sandbox = false where id = $1`, [owner.principal.tenantId])
    assert.equal((await deployment.replica().authenticate(key, address)).keyId, id)
  })

  test('a key under another pepper is refused', async () => {
    const { key } = await issue()
    const { active } = deployment.peppers
    const peppers = { active: { ...active, id: 'pep_other' }, find: () => undefined, refresh: async () => undefined }
    await assert.rejects(createAuthenticate({ ...deployment, peppers })(key, address), refusal)
    await createAuthenticate(deployment)(key, address)
  })
})

describe('authenticate, on two replicas', () => {
  let deployment: TestDeployment
  before(async () => {
    deployment = await testDeployment()
  })
  after(() => deployment.drop())

  test('a revoked key is refused on the other replica as soon as it hears of it, and there at once', async () => {
    const { caller, principal } = await deployment.tenant()
    const connection = deployment.connection
    const [here, there] = [await createChangeFeed(connection), await createChangeFeed(connection)]
    try {
      const apiKeys = createApiKeys({ ...deployment, feed: here, forget: () => undefined })
      const [one, two] = [
        createAuthenticate({ ...deployment, feed: here }),
        createAuthenticate({ ...deployment, feed: there }),
      ]
      const { apiKey, secret } = await apiKeys.create(caller, principal, { name: 'line 4' })
      await one(secret.reveal(), address)
      await two(secret.reveal(), address)
      const heard = Promise.all([here, there].map((feed) => new Promise((resolve) => feed.on('api_key', resolve))))
      await apiKeys.revoke(caller, apiKey.id)
      assert.deepEqual(await heard, [apiKey.id, apiKey.id])
      await assert.rejects(one(secret.reveal(), address), refusal)
      await assert.rejects(two(secret.reveal(), address), refusal)
    } finally {
      await Promise.all([here.close(), there.close()])
    }
  })
})
