import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { Audit } from '#src/audit/audit.ts'
import type { AuditLog } from '#src/audit/audit-log.ts'
import { createAuditReader } from '#src/audit/reader.ts'
import { AppError } from '#src/core/errors.ts'
import type { Db } from '#src/db/db.ts'
import { createDb } from '#src/db/pool.ts'
import { createCheckRecords } from '#src/vault/check-records.ts'
import { createKeyJobs } from '#src/vault/key-jobs.ts'
import { createVault, type Vault } from '#src/vault/vault.ts'
import { createVaultKeys } from '#src/vault/vault-keys.ts'
import { auditOn, eventually, headKey } from '#test/audit/parts.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const values = { hostname: 'broker.example', password: 'correct horse' }

describe('vault records compared with the audit log', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  let pool: Db
  let log: AuditLog
  before(async () => {
    deployment = await testDeployment()
    pool = createDb({ ...deployment.connection, max: 2 })
    log = auditOn(pool)
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(async () => {
    await log.close()
    await pool.close()
    await deployment.drop()
  })

  function vaultOn({ db = deployment.db, audit = log }: { db?: Db; audit?: Audit } = {}): Vault {
    return createVault({ ...deployment, db, audit, usersOf: async () => [] })
  }
  let requests = 0
  const caller = () => ({ ...owner.caller, requestId: `req_${++requests}` })
  const seal = () => vaultOn().seal(caller(), { credentialType: 'custom_kv', values })
  const check = () =>
    createCheckRecords({ ...deployment, vaultWrites: createAuditReader({ ...deployment, headKey }).vaultWrites })(
      owner.principal.tenantId,
    )

  test('records that nobody but the vault wrote match, whatever was done to them', async () => {
    const vault = vaultOn()
    const [rotated, renewed, removed] = [await seal(), await seal(), await seal()]
    await seal()
    await vault.rotate(caller(), rotated.id, { password: 'new' })
    await vault.rotate(caller(), renewed.id)
    await vault.unseal(caller(), renewed.id)
    await vault.remove(caller(), removed.id)
    assert.deepEqual(await check(), [])
  })

  const attacks: { what: string; sql: string[]; opens: boolean }[] = [
    {
      what: 'entry and record of an earlier version put back',
      sql: ['update vault_entries set version = 1 where id = $1'],
      opens: true,
    },
    {
      what: 'a byte of the record',
      sql: [
        'update vault_versions set sealed = set_byte(sealed, 20, 255 - get_byte(sealed, 20)) where entry_id = $1 and version = 2',
      ],
      opens: false,
    },
    {
      what: 'the record deleted',
      sql: ['delete from vault_versions where entry_id = $1 and version = 2'],
      opens: false,
    },
    {
      what: 'the share of the record destroyed',
      sql: ['update vault_versions set wrapped_share = null where entry_id = $1 and version = 2'],
      opens: false,
    },
    {
      what: 'the type of the entry',
      sql: [`update vault_entries set credential_type = 'api_key' where id = $1`],
      opens: false,
    },
  ]
  for (const { what, sql, opens } of attacks) {
    test(`a change behind the vault's back is found: ${what}; its twin matches`, async () => {
      const vault = vaultOn()
      const [victim, twin] = [await seal(), await seal()]
      for (const { id } of [victim, twin]) await vault.rotate(caller(), id, { password: 'new' })
      for (const statement of sql) assert.equal((await deployment.db.query(statement, [victim.id])).rowCount, 1)
      assert.deepEqual(await check(), [victim.id])
      const opened = await vault.open(owner.principal.tenantId, victim.id).catch(() => undefined)
      assert.equal(opened !== undefined, opens)
    })
  }

  test('an entry that was deleted and put back is found', async () => {
    const { id } = await seal()
    const { rows } = await deployment.db.query<{ wrapped_share: Buffer }>(
      'select wrapped_share from vault_versions where entry_id = $1',
      [id],
    )
    await vaultOn().remove(caller(), id)
    assert.deepEqual(await check(), [])
    await deployment.db.query('update vault_entries set deleted_at = null where id = $1', [id])
    await deployment.db.query('update vault_versions set wrapped_share = $2 where entry_id = $1', [
      id,
      rows[0]?.wrapped_share,
    ])
    assert.deepEqual(await check(), [id])
  })

  for (const made of [true, false]) {
    test(`a write that is unknown ${made ? 'but was made' : 'and was not made'} matches; an older record does not`, async () => {
      const { id } = await seal()
      await vaultOn().rotate(caller(), id, { password: 'two' })
      const away = () => new AppError('database.unavailable', 'The database does not answer.')
      const silent: Db = {
        ...deployment.db,
        async transaction(work) {
          await deployment.db.transaction(async (tx) => {
            await work(tx)
            if (!made) throw away()
          })
          throw away()
        },
      }
      await assert.rejects(vaultOn({ db: silent }).rotate(caller(), id, { password: 'three' }), {
        code: 'outcome.unknown',
      })
      assert.deepEqual(await check(), [])
      await deployment.db.query('update vault_entries set version = 1 where id = $1', [id])
      assert.deepEqual(await check(), [id])
    })
  }

  test('a write that is on record but not committed yet is waited for', async () => {
    const { id } = await seal()
    let checking: Promise<string[]> | undefined
    const audit: Audit = {
      async record(...events) {
        await log.record(...events)
        checking = check()
        await eventually(async () => {
          const { rows } = await deployment.db.query('select 1 from pg_locks where not granted')
          return rows.length > 0 || undefined
        })
      },
    }
    await vaultOn({ audit }).rotate(caller(), id, { password: 'new' })
    assert.deepEqual(await checking, [])
  })

  test('V2: a record that is moved to another key matches, before and after; one that was put back is found under any key', async () => {
    const vault = vaultOn()
    const [victim, twin] = [await seal(), await seal()]
    for (const { id } of [victim, twin]) await vault.rotate(caller(), id, { password: 'new' })
    await deployment.db.query('update vault_entries set version = 1 where id = $1', [victim.id])
    const deps = { ...deployment, audit: log }
    await createVaultKeys(deps).rotate(caller())
    const { job } = await createVaultKeys(deps).list(owner.principal.tenantId)
    const seen: Promise<string[]>[] = []
    const jobs = createKeyJobs({ ...deps, pause: async () => {}, onRow: () => seen.push(check()) })
    await jobs.runDue(job?.id)
    assert.equal(seen.length, 4)
    for (const found of await Promise.all(seen)) assert.deepEqual(found, [victim.id])
    assert.deepEqual(await check(), [victim.id])
    assert.deepEqual((await vault.open(owner.principal.tenantId, victim.id)).values, values)
  })

  test('more entries than fit on a page, and another tenant’s, do not disturb', async () => {
    const sealed = await Promise.all(Array.from({ length: 101 }, seal))
    const last = sealed
      .map(({ id }) => id)
      .toSorted()
      .at(-1)
    await deployment.db.query('delete from vault_versions where entry_id = $1', [last])
    assert.deepEqual(await check(), [last])
    owner = await deployment.tenant()
    await seal()
    assert.deepEqual(await check(), [])
  })
})
