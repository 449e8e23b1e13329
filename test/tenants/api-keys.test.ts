import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Principal } from '#src/tenants/principal.ts'
import { hasTenants } from '#src/tenants/tenants.ts'
import { eventually } from '#test/audit/parts.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const address = '192.0.2.1'

describe('API keys', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  type Input = Parameters<TestDeployment['apiKeys']['create']>[2]
  before(async () => {
    deployment = await testDeployment()
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  async function make(input: Partial<Input>, maker: Principal = owner.principal) {
    const caller = { ...owner.caller, tenantId: maker.tenantId, actor: { id: maker.keyId } }
    const { apiKey, secret } = await deployment.apiKeys.create(caller, maker, { name: 'line 4', ...input })
    return { apiKey, secret, caller, principal: await deployment.authenticate(secret.reveal(), address) }
  }

  test('without a role a key can look, nothing more', async () => {
    const { principal } = await make({})
    assert.equal(principal.role, 'viewer')
    assert.deepEqual([...principal.scopes].sort(), ['audit:read', 'integrations:read', 'policies:read', 'vault:read'])
  })

  test('a key never gives more than its maker has', async () => {
    const expiresAt = new Date(deployment.clock.now() + 3_600_000)
    const scopes = ['keys:manage', 'vault:read', 'proxy:publish']
    const limited = await make({ role: 'admin', scopes, expiresAt, allowedAddresses: ['192.0.2.1', '198.51.100.0/24'] })
    const attempts: { input: Partial<Input>; code: string | undefined }[] = [
      { input: { role: 'owner' }, code: 'auth.forbidden' },
      { input: { role: 'editor', scopes: ['vault:write'] }, code: 'auth.forbidden' },
      { input: { role: 'editor', scopes: ['proxy:publish'] }, code: undefined },
      { input: { expiresAt: new Date(expiresAt.getTime() + 1) }, code: 'auth.forbidden' },
      { input: { expiresAt: new Date(expiresAt.getTime() - 1) }, code: undefined },
      { input: { allowedAddresses: ['192.0.2.2'] }, code: 'auth.forbidden' },
      { input: { allowedAddresses: ['0.0.0.0/0'] }, code: 'auth.forbidden' },
      { input: { allowedAddresses: ['192.0.2.1'] }, code: undefined },
    ]
    for (const { input, code } of attempts) {
      if (code) await assert.rejects(make(input, limited.principal), { code }, JSON.stringify(input))
      else await make(input, limited.principal)
    }
    const heir = await make({ role: 'admin' }, limited.principal)
    assert.deepEqual([...heir.principal.scopes].sort(), [...scopes].sort())
    assert.deepEqual(heir.apiKey.expiresAt, expiresAt)
    assert.deepEqual(heir.apiKey.allowedAddresses, ['192.0.2.1', '198.51.100.0/24'])
  })

  const invalid: { why: string; input: Partial<Input> }[] = [
    { why: 'unknown role', input: { role: 'Owner' } },
    { why: 'unknown scope', input: { scopes: ['vault:*'] } },
    { why: 'a scope that the role does not have', input: { role: 'viewer', scopes: ['vault:write'] } },
    { why: 'an expiry in the past', input: { expiresAt: new Date(0) } },
    { why: 'an expiry that is no time', input: { expiresAt: new Date(Number.NaN) } },
    { why: 'an address that is none', input: { allowedAddresses: ['localhost'] } },
    { why: 'too many addresses', input: { allowedAddresses: Array<string>(65).fill('192.0.2.1') } },
    { why: 'a name with a control character', input: { name: 'a\u0007' } },
    { why: 'no name', input: { name: '' } },
  ]
  for (const { why, input } of invalid) {
    test(`create refuses ${why}`, () => assert.rejects(make(input), { code: 'request.invalid' }))
  }

  test('the secret is stored nowhere: neither in the table nor on the audit log nor in a list', async () => {
    const { apiKey, secret } = await make({ role: 'editor' })
    const text = secret.reveal()
    const { rows } = await deployment.db.query(`select k::text as row from api_keys k where id = $1`, [apiKey.id])
    const list = await deployment.apiKeys.list(owner.principal.tenantId)
    assert.ok(list.some(({ id }) => id === apiKey.id))
    for (const shown of [rows, deployment.audit.events, list]) {
      assert.equal(JSON.stringify(shown).includes(text.slice(35, 78)), false)
    }
    assert.equal(JSON.stringify(list).includes('digest'), false)
  })

  test('a key is on record before anybody has it; without the record there is none', async () => {
    const before = (await deployment.apiKeys.list(owner.principal.tenantId)).length
    deployment.audit.failing = true
    await assert.rejects(make({}), { code: 'audit.unavailable' })
    deployment.audit.failing = false
    assert.equal((await deployment.apiKeys.list(owner.principal.tenantId)).length, before)
    const { apiKey } = await make({ role: 'editor', scopes: ['vault:read'] })
    const event = deployment.audit.events.at(-1)
    assert.deepEqual(
      [event?.action, event?.object?.id, event?.detail?.['scopes']],
      ['api_keys.create', apiKey.id, 'vault:read'],
    )
  })

  test('a revoked key is refused; revoked again it is not found', async () => {
    const { apiKey, secret } = await make({})
    const revoked = await deployment.apiKeys.revoke(owner.caller, apiKey.id)
    assert.ok(revoked.revokedAt)
    await new Promise(setImmediate)
    await assert.rejects(deployment.authenticate(secret.reveal(), address), { code: 'auth.unauthenticated' })
    await assert.rejects(deployment.apiKeys.revoke(owner.caller, apiKey.id), { code: 'object.not_found' })
  })

  const ends: { how: string; expiresInMs?: number; end: (id: string) => Promise<unknown> }[] = [
    { how: 'revoked', end: (id) => deployment.apiKeys.revoke(owner.caller, id) },
    { how: 'expired', expiresInMs: 1000, end: async () => deployment.clock.advance(1000) },
  ]
  for (const { how, expiresInMs, end } of ends) {
    test(`a key that was ${how} after it was let in makes no other: the heir would outlive it`, async () => {
      const expiresAt = expiresInMs === undefined ? undefined : new Date(deployment.clock.now() + expiresInMs)
      const maker = await make({ role: 'admin', expiresAt })
      await make({}, maker.principal)
      await end(maker.apiKey.id)
      const before = (await deployment.apiKeys.list(owner.principal.tenantId)).length
      await assert.rejects(deployment.apiKeys.create(maker.caller, maker.principal, { name: 'heir' }), {
        code: 'auth.unauthenticated',
        message: 'No valid API key was presented.',
      })
      assert.equal((await deployment.apiKeys.list(owner.principal.tenantId)).length, before)
    })
  }

  test('a revocation that is being committed is waited for, and heeded', async () => {
    const maker = await make({ role: 'admin' })
    let making: Promise<void> | undefined
    await deployment.db.transaction(async (tx) => {
      await tx.query('update api_keys set revoked_at = now() where id = $1', [maker.apiKey.id])
      making = assert.rejects(deployment.apiKeys.create(maker.caller, maker.principal, { name: 'heir' }), {
        code: 'auth.unauthenticated',
      })
      await eventually(async () => {
        const { rows } = await deployment.db.query('select 1 from pg_locks where not granted')
        return rows.length > 0 || undefined
      })
    })
    await making
  })

  test('another tenant’s key is not found, exactly as one that does not exist', async () => {
    const other = await deployment.tenant('other')
    for (const id of [other.principal.keyId, 'key_01kat4hvr07rf9mm9f7nrvz4gg']) {
      await assert.rejects(deployment.apiKeys.revoke(owner.caller, id), {
        code: 'object.not_found',
        message: 'No such object.',
      })
    }
    const ids = (await deployment.apiKeys.list(other.principal.tenantId)).map(({ id }) => id)
    assert.deepEqual(ids, [other.principal.keyId])
  })

  test('an admin cannot revoke an owner; an owner can, and an admin can revoke an admin', async () => {
    const [admin, peer, ownerTwo] = [
      await make({ role: 'admin' }),
      await make({ role: 'admin' }),
      await make({ role: 'owner' }),
    ]
    await assert.rejects(
      deployment.apiKeys.revoke({ ...owner.caller, actor: { id: admin.apiKey.id } }, ownerTwo.apiKey.id),
      { code: 'auth.forbidden' },
    )
    await deployment.apiKeys.revoke({ ...owner.caller, actor: { id: admin.apiKey.id } }, peer.apiKey.id)
    await deployment.apiKeys.revoke(owner.caller, ownerTwo.apiKey.id)
  })
})

describe('tenants', () => {
  let deployment: TestDeployment
  before(async () => {
    deployment = await testDeployment()
  })
  after(() => deployment.drop())

  test('the first owner’s key is delivered before its tenant is there, and without delivery there is no tenant', async () => {
    const full = new Error('the disk is full')
    await assert.rejects(
      deployment.tenants.createFirst({ name: 'default' }, () => Promise.reject(full)),
      full,
    )
    assert.equal(await hasTenants(deployment.db), false)
    deployment.audit.failing = true
    const delivered: string[] = []
    await assert.rejects(
      deployment.tenants.createFirst({ name: 'default' }, async (ownerKey) => {
        assert.equal(await hasTenants(deployment.db), false)
        delivered.push(ownerKey.reveal())
      }),
      { code: 'audit.unavailable' },
    )
    deployment.audit.failing = false
    assert.equal(delivered.length, 1)
    assert.equal(await hasTenants(deployment.db), false)
  })

  test('the first tenant is made once, by one of two that start together', async () => {
    assert.equal(await hasTenants(deployment.db), false)
    const delivered: string[] = []
    const create = () =>
      deployment.tenants.createFirst({ name: 'default' }, async (ownerKey) => {
        delivered.push(ownerKey.reveal())
      })
    const made = (await Promise.all([1, 2, 3].map(create))).filter((one) => one !== undefined)
    assert.equal(made.length, 1)
    assert.equal(await hasTenants(deployment.db), true)
    assert.equal(await create(), undefined)
    assert.deepEqual(delivered, [made[0]?.ownerKey.reveal()])
    const { tenantId } = await deployment.authenticate(delivered[0], address)
    assert.equal(tenantId, made[0]?.tenantId)
  })

  test('a tenant begins with an owner key, on record as the operator’s doing', async () => {
    const { tenantId, keyId, ownerKey } = await deployment.tenants.create({ name: 'plant' })
    const principal = await deployment.authenticate(ownerKey.reveal(), address)
    assert.deepEqual(
      [principal.tenantId, principal.keyId, principal.role, principal.scopes.size],
      [tenantId, keyId, 'owner', 13],
    )
    const events = deployment.audit.events.filter((event) => event.tenantId === tenantId)
    assert.deepEqual(
      events.map((event) => [event.action, event.actor.id]),
      [
        ['tenants.create', 'operator'],
        ['api_keys.create', 'operator'],
      ],
    )
    await assert.rejects(deployment.tenants.create({ name: '' }), { code: 'request.invalid' })
  })
})
