import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import type { Caller } from '#src/audit/audit.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import type { MoveOutcome } from '#src/keys/key-job.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import { createAwsKeyWrapper } from '#src/kms/aws.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { openLocalKeyWrapper } from '#src/kms/local.ts'
import { createTenants } from '#src/tenants/tenants.ts'
import { createKeyJobs } from '#src/vault/key-jobs.ts'
import { createKmsRewrap } from '#src/vault/kms-rewrap.ts'
import { createVault } from '#src/vault/vault.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { localFeed, memoryAudit, testClock } from '#test/support/deployment.ts'
import { type KmsDouble, startKmsDouble } from '#test/support/kms-double.ts'

const values = { hostname: 'broker.example', password: 'correct horse' }

/** A deployment on that key wrapper, as one process has it. */
async function openOn(wrapper: KeyWrapper, database: TestDatabase) {
  const { db } = database
  const [clock, audit, feed] = [testClock(), memoryAudit(), localFeed()]
  const keys = await openDeploymentKeys({ db, wrapper, provider, clock })
  const tenantKeys = createTenantKeys({ db, wrapper, provider, clock, feed })
  const deps = { db, wrapper, provider, clock, audit, feed, keys, tenantKeys, pause: async () => {} }
  const tenants = createTenants({ ...deps, peppers: keys.peppers })
  const rewrap = createKmsRewrap(deps)
  return {
    ...deps,
    rewrap,
    vault: createVault({ ...deps, usersOf: async () => [] }),
    async tenant(): Promise<Caller> {
      const { tenantId, keyId } = await tenants.create({ name: 'plant' })
      return { tenantId, actor: { id: keyId }, requestId: 'req_test' }
    },
    async run(input: { to: string; tenantId?: string }): Promise<MoveOutcome[]> {
      const outcomes: MoveOutcome[] = []
      const { id } = await rewrap.begin(input)
      await createKeyJobs({ ...deps, onRow: (_row, outcome) => outcomes.push(outcome) }).runDue(id)
      return outcomes
    },
    useOf: async (id: string) => {
      const use = (await rewrap.uses()).find(({ kmsKeyId }) => kmsKeyId === id)
      return [use?.keys ?? 0, use?.shares ?? 0]
    },
  }
}

describe('re-wrap with the local ring', () => {
  let database: TestDatabase
  let folder: string
  let file: string
  let at: Awaited<ReturnType<typeof openOn>>
  let other: KeyWrapper
  beforeEach(async () => {
    ;[database, folder] = await Promise.all([testDatabase(), mkdtemp(path.join(tmpdir(), 'sealwire-rewrap-'))])
    file = path.join(folder, 'local-kms.json')
    at = await openOn(await openLocalKeyWrapper({ file, provider, createIfEmpty: true }), database)
    other = await openLocalKeyWrapper({ file, provider, createIfEmpty: false })
  })
  afterEach(async () => {
    at.keys.close()
    await database.drop()
    await rm(folder, { recursive: true })
  })

  test('every wrap moves and names the new key; another process that has not heard of it opens them all', async () => {
    const caller = await at.tenant()
    const { id } = await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    const old = at.wrapper.defaultKeyId
    const [keys = 0, shares] = await at.useOf(old)
    assert.ok(keys >= 7, `only ${keys} keys`)
    const outcomes = await at.run({ to: 'local-b' })
    assert.deepEqual(new Set(outcomes), new Set(['moved']))
    assert.equal(outcomes.length, keys + (shares ?? 0))
    assert.deepEqual(
      [await at.useOf(old), await at.useOf('local-b')],
      [
        [0, 0],
        [keys, shares],
      ],
    )
    const there = await openOn(other, database)
    assert.deepEqual((await there.vault.open(caller.tenantId, id)).values, values)
    there.keys.close()
  })

  test('the old key is removed once nothing needs it and no request can be on its way; a server goes on without it', async () => {
    await at.tenant()
    const old = at.wrapper.defaultKeyId
    await assert.rejects(at.rewrap.removeKey(old), { code: 'object.in_use', message: /need/ })
    await at.run({ to: 'local-b' })
    await assert.rejects(at.rewrap.removeKey(old), { code: 'object.in_use', message: /less than a minute/ })
    at.clock.advance(60_001)
    await at.rewrap.removeKey(old)
    assert.deepEqual(at.wrapper.ring?.ids(), ['local-b'])
    await at.keys.reload()
    await at.keys.probe()
    assert.ok(at.audit.events.some(({ action, object }) => action === 'kms.remove_key' && object?.id === old))
  })

  test('a tenant with a KMS key of its own: its shares alone move there, and stay when the deployment moves', async () => {
    const [own, plain] = [await at.tenant(), await at.tenant()]
    for (const caller of [own, plain]) await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    const old = at.wrapper.defaultKeyId
    assert.deepEqual(await at.run({ to: 'local-own', tenantId: own.tenantId }), ['moved'])
    assert.equal(at.wrapper.defaultKeyId, old)
    const { id } = await at.vault.seal(own, { credentialType: 'custom_kv', values })
    assert.deepEqual(await at.useOf('local-own'), [0, 2])
    await at.run({ to: 'local-b' })
    assert.deepEqual([await at.useOf('local-own'), (await at.useOf('local-b'))[1]], [[0, 2], 1])
    assert.deepEqual((await at.vault.open(own.tenantId, id)).values, values)
    at.clock.advance(60_001)
    await assert.rejects(at.rewrap.removeKey('local-own'), { code: 'object.in_use', message: /1 tenants/ })
  })

  test('a share in split custody moves without its holder, who opens it afterwards', async () => {
    const caller = await at.tenant()
    const sealed = await at.vault.seal(caller, { credentialType: 'custom_kv', values }, { enable: true })
    assert.ok('custodyShare' in sealed)
    await at.run({ to: 'local-b' })
    assert.equal((await at.useOf('local-b'))[1], 1)
    const opened = await at.vault.unseal(caller, sealed.id, sealed.custodyShare as never)
    assert.deepEqual(opened.values, values)
  })

  test('a wrap that does not open is named and stays; the others move, and the old key is not removed', async () => {
    const caller = await at.tenant()
    const { id } = await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    const old = at.wrapper.defaultKeyId
    await database.db.query(
      'update vault_versions set wrapped_share = set_byte(wrapped_share, 60, 255 - get_byte(wrapped_share, 60)) where entry_id = $1',
      [id],
    )
    const outcomes = await at.run({ to: 'local-b' })
    assert.ok(outcomes.includes('unusable'))
    const job = await at.rewrap.find()
    assert.deepEqual([job?.state, job?.unusable, job?.unusableCount], ['waiting', [`${caller.tenantId}/${id}/1`], 1])
    assert.deepEqual(await at.useOf(old), [0, 1])
    at.clock.advance(60_001)
    await assert.rejects(at.rewrap.removeKey(old), { code: 'object.in_use' })
  })

  test('shares of many tenants are found behind the many that have none', async () => {
    const caller = await at.tenant()
    await database.db.query(
      `insert into tenants (id, name, created_at)
       select 'ten_' || lpad(i::text, 26, '0'), 'idle', now() from generate_series(1, 1200) i`,
    )
    const callers = [caller, { ...caller, tenantId: `ten_${'700'.padStart(26, '0')}` }]
    for (const one of callers) await at.vault.seal(one, { credentialType: 'custom_kv', values })
    const { shares: before } = (await at.rewrap.uses()).find(({ isDefault }) => isDefault) ?? { shares: 0 }
    await at.run({ to: 'local-b' })
    assert.equal((await at.rewrap.find())?.state, 'done')
    assert.equal((await at.useOf('local-b'))[1], before)
  })

  test('a tenant that is not there changes nothing, not even the ring', async () => {
    for (const tenantId of ['ten_0', `ten_${'0'.repeat(26)}`]) {
      await assert.rejects(at.rewrap.begin({ to: 'local-b', tenantId }), { code: 'object.not_found' })
    }
    assert.deepEqual(at.wrapper.ring?.ids(), [at.wrapper.defaultKeyId])
    assert.equal(await at.rewrap.find(), undefined)
  })
})

describe('re-wrap with AWS KMS', () => {
  let database: TestDatabase
  let kms: KmsDouble
  let first: { id: string; arn: string }
  let at: Awaited<ReturnType<typeof openOn>>
  let aheadMs = 0
  before(async () => {
    ;[database, kms] = await Promise.all([testDatabase(), startKmsDouble()])
    first = kms.createKey()
    const { region, url: endpoint, accessKeyId, secretAccessKey } = kms
    const credentials = { accessKeyId, secretAccessKey }
    const monotonic = () => performance.now() + aheadMs
    at = await openOn(createAwsKeyWrapper({ region, keyId: first.arn, endpoint, credentials, monotonic }), database)
  })
  after(async () => {
    at.keys.close()
    await kms.close()
    await database.drop()
  })

  test('V5: Decrypt always names the key of the row, Encrypt the new one, both the whole context; a short id ends as ARN', async () => {
    const caller = await at.tenant()
    const { id } = await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    const next = kms.createKey()
    const begun = kms.requests.length
    const outcomes = await at.run({ to: next.id })
    assert.deepEqual(new Set(outcomes), new Set(['moved']))
    assert.equal((await at.rewrap.find())?.target, next.arn)
    assert.deepEqual(await at.useOf(first.arn), [0, 0])
    const asked = kms.requests.slice(begun).filter(({ context }) => context?.['key_id'] !== 'probe')
    assert.equal(asked.length, 2 * outcomes.length)
    for (const { operation, keyId, context } of asked) {
      assert.equal(keyId, operation === 'Decrypt' ? first.arn : next.arn)
      assert.ok(context?.['tenant_id'] && context['purpose'] && (context['key_id'] ?? context['entry_id']))
    }
    kms.setState(first.id, 'PendingDeletion')
    assert.deepEqual((await at.vault.open(caller.tenantId, id)).values, values)
    await assert.rejects(at.rewrap.removeKey(first.arn), { code: 'request.invalid' })
    kms.setState(first.id, 'Enabled')
  })

  test('a KMS that throttles stops the job for a moment; no row is blamed, and all of them move then', async () => {
    const caller = await at.tenant()
    await at.vault.seal(caller, { credentialType: 'custom_kv', values })
    const next = kms.createKey()
    const { id } = await at.rewrap.begin({ to: next.arn })
    const jobs = createKeyJobs(at)
    kms.fail({ type: 'ThrottlingException', status: 400, times: 12 }) // four rows at once, three attempts each
    await assert.rejects(jobs.runDue(id), { code: 'kms.unavailable' })
    const stopped = await at.rewrap.find()
    assert.deepEqual([stopped?.unusableCount, stopped?.problem], [0, 'kms.unavailable'])
    kms.fail({ type: 'ThrottlingException', status: 400, times: 0 })
    at.clock.advance(5_000)
    aheadMs += 5_000 // past the wait of the wrapper
    await jobs.runDue(id)
    const uses = await at.rewrap.uses()
    assert.equal((await at.rewrap.find())?.state, 'done')
    assert.deepEqual(
      uses.filter(({ keys, shares }) => keys + shares > 0).map(({ kmsKeyId }) => kmsKeyId),
      [next.arn],
    )
  })

  test('a KMS key that is not there stops the command before anything is changed', async () => {
    const before = await at.rewrap.find()
    await assert.rejects(at.rewrap.begin({ to: '0d1f2a52-0000-4000-8000-000000000000' }), { code: 'kms.unavailable' })
    assert.deepEqual(await at.rewrap.find(), before)
  })
})
