import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { copyBytes } from '#src/core/bytes.ts'
import { notFound, sealedVault, unknownId, unopened, values } from './sealed-vault.ts'

describe('vault rows that were moved or changed', () => {
  const at = sealedVault()
  const { seal, tenantId, eventsOf, rowOf } = at

  describe('another row', () => {
    const columns = ['kem_ciphertext', 'wrapped_share', 'commitment', 'sealed'] as const

    for (const column of columns) {
      test(`V1, V3: ${column} of another entry of the same tenant does not open`, async () => {
        const [one, two] = [await seal(), await seal()]
        const own = await rowOf(one.id)
        const other = await rowOf(two.id)
        await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [
          other[column],
          one.id,
        ])
        const code = column === 'wrapped_share' ? 'kms.unavailable' : unopened.code
        await assert.rejects(at.deployment.vault.unseal(at.owner.caller, one.id), { code })
        await assert.rejects(at.deployment.vault.open(tenantId(), one.id), { code })
        const event = eventsOf(one.id).at(-1)
        assert.deepEqual([event?.action, event?.outcome, event?.detail?.['code']], ['vault.unseal', 'failure', code])
        await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [
          own[column],
          one.id,
        ])
        assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, one.id)).values, values)
      })
    }

    test('V1: the whole record of another entry, or of another tenant, does not open', async () => {
      const [one, two] = [await seal(), await seal({ values: { password: 'two' } })]
      const stranger = await at.deployment.tenant('stranger')
      const three = await at.deployment.vault.seal(stranger.caller, {
        credentialType: 'custom_kv',
        values: { password: 'three' },
      })
      const move = (from: string) =>
        at.deployment.db.query(
          `update vault_versions a set (vault_key_id, kem_ciphertext, wrapped_share, share_kms_key_id, commitment, sealed) =
             (select vault_key_id, kem_ciphertext, wrapped_share, share_kms_key_id, commitment, sealed from vault_versions where entry_id = $1)
           where a.entry_id = $2`,
          [from, one.id],
        )
      for (const from of [two.id, three.id]) {
        await move(from)
        await assert.rejects(
          at.deployment.vault.unseal(at.owner.caller, one.id),
          (err: { code?: string }) => err.code === 'kms.unavailable' || err.code === 'vault.unavailable',
        )
      }
      assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, two.id)).values, { password: 'two' })
    })

    test('V2: an older version restored into the current row does not open', async () => {
      const { id } = await seal({ values: { password: 'old' } })
      const old = await rowOf(id)
      await at.deployment.vault.rotate(at.owner.caller, id, { password: 'new' })
      const current = await rowOf(id)
      const restore = (row: Record<string, unknown>) =>
        at.deployment.db.query(
          `update vault_versions set kem_ciphertext = $2, wrapped_share = $3, commitment = $4, sealed = $5 where entry_id = $1 and version = 2`,
          [id, row['kem_ciphertext'], row['wrapped_share'], row['commitment'], row['sealed']],
        )
      await restore(old)
      await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), { code: 'kms.unavailable' })
      await restore(current)
      assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, id)).values, { password: 'new' })
    })

    test('V3: without one of its wraps a record does not open', async () => {
      const { id } = await seal()
      const row = await rowOf(id)
      for (const [column, empty] of [
        ['wrapped_share', null],
        ['kem_ciphertext', Buffer.alloc(0)],
      ] as const) {
        const put = (value: Buffer | null | undefined) =>
          at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [value, id])
        await put(empty)
        await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), unopened, column)
        await put(row[column])
        assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, id)).values, values)
      }
    })

    test('V2: a row of before put in the place of the current one, version and all, does not open as what it is not', async () => {
      const { id } = await seal({ values: { password: 'old' } })
      await at.deployment.vault.rotate(at.owner.caller, id, { password: 'new' })
      await at.deployment.db.query('delete from vault_versions where entry_id = $1 and version = 2', [id])
      await at.deployment.db.query('update vault_versions set version = 2 where entry_id = $1', [id])
      await assert.rejects(
        at.deployment.vault.unseal(at.owner.caller, id),
        (err: { code?: string }) => err.code === 'kms.unavailable' || err.code === 'vault.unavailable',
      )
    })

    test('V15: once the keys of a tenant are destroyed, nothing of its rows opens, and the audit rows hold ids only', async () => {
      const { id } = await seal()
      const { deployment } = at
      const split = await deployment.vault.seal(
        at.owner.caller,
        { credentialType: 'custom_kv', values },
        { enable: true },
      )
      const stranger = await deployment.tenant('stranger')
      const theirs = await deployment.vault.seal(stranger.caller, { credentialType: 'custom_kv', values })
      const { rows } = await deployment.db.query<{ id: string }>('select id from keys where tenant_id = $1', [
        tenantId(),
      ])
      assert.ok(rows.length > 0)
      const ids = rows.map((row) => row.id)
      await deployment.db.transaction((tx) => deployment.tenantKeys.destroy(tx, tenantId(), ids))
      const dump = deployment.replica()
      await assert.rejects(dump.vault.open(tenantId(), id), { code: 'vault.unavailable' })
      await assert.rejects(dump.vault.open(tenantId(), split.id, split.custodyShare), { code: 'vault.unavailable' })
      assert.deepEqual((await dump.vault.open(stranger.principal.tenantId, theirs.id)).values, values)
      const text = JSON.stringify(deployment.audit.events)
      assert.ok(text.includes(id))
      for (const secret of ['correct horse', 'broker.example', '"port"']) assert.ok(!text.includes(secret), secret)
    })

    const contexts = [
      { column: 'credential_type', value: 'api_key', table: 'vault_entries', key: 'id' },
      { column: 'schema', value: 2, table: 'vault_versions', key: 'entry_id' },
    ]
    for (const { column, value, table, key } of contexts) {
      test(`another ${column} in the row does not open`, async () => {
        const { id } = await seal()
        const { rows } = await at.deployment.db.query<Record<string, unknown>>(
          `select ${column} from ${table} where ${key} = $1`,
          [id],
        )
        await at.deployment.db.query(`update ${table} set ${column} = $1 where ${key} = $2`, [value, id])
        await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), unopened)
        await at.deployment.db.query(`update ${table} set ${column} = $1 where ${key} = $2`, [rows[0]?.[column], id])
        assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, id)).values, values)
      })
    }

    test('each bit of each stored field counts', async () => {
      const { id } = await seal()
      const row = await rowOf(id)
      let tried = 0
      for (const column of columns) {
        const original = copyBytes(row[column] ?? Buffer.alloc(0))
        for (const bit of [0, 7, original.length * 4, original.length * 8 - 1]) {
          const changed = copyBytes(original)
          changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [changed, id])
          await assert.rejects(at.deployment.vault.open(tenantId(), id), column)
          tried++
        }
        await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [original, id])
        assert.deepEqual((await at.deployment.vault.open(tenantId(), id)).values, values)
      }
      assert.equal(tried, 16)
    })

    test('another tenant’s entry is not found, exactly as one that does not exist or an id that is none', async () => {
      const { id } = await seal()
      const stranger = await at.deployment.tenant('stranger')
      const { vault } = at.deployment
      const ids = [id, unknownId, 'no-uuid', `${id}' or '1'='1`]
      for (const one of ids) {
        await assert.rejects(vault.get(stranger.principal.tenantId, one), notFound)
        await assert.rejects(vault.versions(stranger.principal.tenantId, one), notFound)
        await assert.rejects(vault.unseal(stranger.caller, one), notFound)
        await assert.rejects(vault.open(stranger.principal.tenantId, one), notFound)
        await assert.rejects(vault.rotate(stranger.caller, one, values), notFound)
        await assert.rejects(vault.remove(stranger.caller, one), notFound)
        assert.equal(await vault.current(stranger.principal.tenantId, one), undefined)
      }
      assert.equal(eventsOf(id).length, 1)
      assert.deepEqual((await vault.unseal(at.owner.caller, id)).values, values)
    })
  })
})
