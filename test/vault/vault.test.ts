import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toHex } from '#src/core/hex.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { credentialTypes } from '#src/vault/credential-types.ts'
import { createVault, type NewEntry } from '#src/vault/vault.ts'
import { notFound, sealedVault, unopened, values } from './sealed-vault.ts'

const day = 86_400_000

describe('vault', () => {
  const at = sealedVault()
  const { seal, tenantId, rowOf } = at

  test('values come back from unseal, and from nowhere else', async () => {
    const metadata = { site: 'north', tags: ['a'] }
    const sealed = await seal({ name: 'plant broker', metadata })
    const shown = [
      sealed,
      await at.deployment.vault.get(tenantId(), sealed.id),
      await at.deployment.vault.list(tenantId()),
      await at.deployment.vault.versions(tenantId(), sealed.id),
      await at.deployment.vault.rotate(at.owner.caller, sealed.id),
      await at.deployment.vault.current(tenantId(), sealed.id),
      at.deployment.audit.events,
    ]
    assert.deepEqual(await at.deployment.vault.unseal(at.owner.caller, sealed.id), {
      version: 2,
      credentialType: 'custom_kv',
      values,
    })
    assert.deepEqual(await at.deployment.vault.open(tenantId(), sealed.id), { version: 2, values })
    const text = JSON.stringify(shown)
    for (const secret of ['correct horse', 'broker.example', '***', '•', 'password'])
      assert.equal(text.includes(secret), false, secret)
    const { rows } = await at.deployment.db.query(
      `select v::text, e::text from vault_versions v join vault_entries e on e.id = v.entry_id`,
    )
    assert.ok(rows.length > 0)
    assert.equal(JSON.stringify(rows).includes(Buffer.from('correct horse').toString('hex')), false)
    assert.deepEqual(
      await at.deployment.vault.get(tenantId(), sealed.id).then(({ name, metadata }) => ({ name, metadata })),
      { name: 'plant broker', metadata },
    )
  })

  test('every credential type is kept', async () => {
    assert.equal(credentialTypes.length, 20)
    for (const credentialType of credentialTypes) {
      const { id } = await seal({ credentialType, values: { key: credentialType } })
      assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, id)).values, { key: credentialType })
    }
    assert.equal((await at.deployment.vault.list(tenantId())).length, 20)
  })

  const invalid: { why: string; input: Partial<NewEntry> }[] = [
    { why: 'an unknown type', input: { credentialType: 'mqtt' } },
    { why: 'no values', input: { values: {} } },
    { why: 'a mask in place of a value', input: { values: { password: '****' } } },
    { why: 'a life of 0 days', input: { ttlDays: 0 } },
    { why: 'a life of 366 days', input: { ttlDays: 366 } },
    { why: 'a life of half a day', input: { ttlDays: 0.5 } },
    { why: 'a name with a line end', input: { name: 'a\nb' } },
    { why: 'too much metadata', input: { metadata: { a: 'x'.repeat(9000) } } },
    { why: 'U+0000 in metadata', input: { metadata: { a: '\u0000' } } },
  ]
  for (const { why, input } of invalid) {
    test(`seal refuses ${why}, and keeps nothing`, async () => {
      await assert.rejects(seal(input), { code: 'request.invalid' })
      assert.deepEqual(await at.deployment.vault.list(tenantId()), [])
    })
  }

  test('__proto__ in values and metadata is data', async () => {
    const hostile = JSON.parse(
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":"x"}',
    )
    const { id } = await seal({ values: hostile, metadata: hostile })
    const opened = await at.deployment.vault.unseal(at.owner.caller, id)
    assert.equal(JSON.stringify(opened.values), JSON.stringify(hostile))
    assert.deepEqual(Object.keys((await at.deployment.vault.get(tenantId(), id)).metadata).sort(), [
      '__proto__',
      'constructor',
      'toString',
    ])
    assert.equal(({} as { polluted?: boolean }).polluted, undefined)
  })

  describe('rotate', () => {
    test('new values under the same id, the next version, other bytes', async () => {
      const { id } = await seal()
      const before = await rowOf(id)
      const rotated = await at.deployment.vault.rotate(at.owner.caller, id, { ...values, password: 'battery staple' })
      assert.deepEqual([rotated.id, rotated.version], [id, 2])
      assert.equal((await at.deployment.vault.unseal(at.owner.caller, id)).values['password'], 'battery staple')
      const after = await rowOf(id)
      for (const column of ['kem_ciphertext', 'wrapped_share', 'commitment', 'sealed']) {
        assert.notEqual(toHex(after[column] ?? Buffer.alloc(0)), toHex(before[column] ?? Buffer.alloc(1)), column)
      }
    })

    test('without values the old ones are encrypted anew', async () => {
      const { id } = await seal()
      await at.deployment.vault.rotate(at.owner.caller, id)
      assert.deepEqual(await at.deployment.vault.unseal(at.owner.caller, id), {
        version: 2,
        credentialType: 'custom_kv',
        values,
      })
    })

    test('current follows at once here, and on a replica once it hears of it', async () => {
      const { id } = await seal()
      const replica = at.deployment.replica()
      const current = (version: number) => ({ version, credentialType: 'custom_kv', custody: 0, expiresAt: null })
      for (const vault of [at.deployment.vault, replica.vault])
        assert.deepEqual(await vault.current(tenantId(), id), current(1))
      await at.deployment.vault.rotate(at.owner.caller, id)
      assert.deepEqual(await at.deployment.vault.current(tenantId(), id), current(2))
      replica.feed.send('vault', `${tenantId()}/${id}`)
      assert.deepEqual(await replica.vault.current(tenantId(), id), current(2))
    })

    test('current costs no SQL once known', async () => {
      const { id } = await seal()
      await at.deployment.vault.current(tenantId(), id)
      const before = at.deployment.db.statements
      for (let i = 0; i < 20; i++) await at.deployment.vault.current(tenantId(), id)
      assert.equal(at.deployment.db.statements, before)
    })

    test('the version before stays, older ones are shredded', async () => {
      const { id } = await seal()
      for (let i = 0; i < 3; i++) await at.deployment.vault.rotate(at.owner.caller, id)
      const { rows } = await at.deployment.db.query<{ version: number; kept: boolean }>(
        `select version, wrapped_share is not null as kept from vault_versions where entry_id = $1 order by version`,
        [id],
      )
      assert.deepEqual(
        rows.map(({ kept }) => kept),
        [false, false, true, true],
      )
      const versions = await at.deployment.vault.versions(tenantId(), id)
      assert.deepEqual(
        versions.map(({ version, current }) => [version, current]),
        [
          [4, true],
          [3, false],
          [2, false],
          [1, false],
        ],
      )
    })

    test('two at the same time: one wins, the other is told; nothing is lost', async () => {
      const { id } = await seal()
      const { promise: both, resolve } = Promise.withResolvers<void>()
      let arrived = 0
      const wrapper: KeyWrapper = {
        ...at.deployment.wrapper,
        async wrap(...args) {
          if (++arrived === 2) resolve()
          await both
          return at.deployment.wrapper.wrap(...args)
        },
      }
      const vault = createVault({ ...at.deployment, wrapper, usersOf: async () => [] })
      const results = await Promise.allSettled(
        ['one', 'two'].map((password) => vault.rotate(at.owner.caller, id, { password })),
      )
      const won = results.findIndex(({ status }) => status === 'fulfilled')
      const lost = results.find((result) => result.status === 'rejected')
      assert.equal((await at.deployment.vault.unseal(at.owner.caller, id)).values['password'], ['one', 'two'][won])
      assert.ok(lost)
      assert.match(String(lost.reason), /changed at the same time/)
      assert.equal((await at.deployment.vault.versions(tenantId(), id)).length, 2)
    })

    test('a mask does not overwrite the value', async () => {
      const { id } = await seal()
      await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id, { ...values, password: '****' }), {
        code: 'request.invalid',
      })
      assert.deepEqual(await at.deployment.vault.unseal(at.owner.caller, id), {
        version: 1,
        credentialType: 'custom_kv',
        values,
      })
    })
  })

  describe('life', () => {
    test('an expired entry neither unseals nor opens; new values are the way out, the old ones are not', async () => {
      const { id, expiresAt } = await seal({ ttlDays: 1 })
      assert.equal(expiresAt?.getTime(), at.deployment.clock.now() + day)
      at.deployment.clock.advance(day - 1)
      await at.deployment.vault.unseal(at.owner.caller, id)
      assert.equal((await at.deployment.vault.get(tenantId(), id)).active, true)
      at.deployment.clock.advance(1)
      const expired = { code: 'credential.expired' }
      await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), expired)
      await assert.rejects(at.deployment.vault.open(tenantId(), id), expired)
      await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id), expired)
      assert.equal((await at.deployment.vault.get(tenantId(), id)).active, false)
      const renewed = await at.deployment.vault.rotate(at.owner.caller, id, values)
      assert.equal(renewed.expiresAt?.getTime(), at.deployment.clock.now() + day)
      await at.deployment.vault.unseal(at.owner.caller, id)
    })

    test('encrypting the old values anew does not make them live longer', async () => {
      const { id, expiresAt } = await seal({ ttlDays: 2 })
      at.deployment.clock.advance(day)
      assert.deepEqual((await at.deployment.vault.rotate(at.owner.caller, id)).expiresAt, expiresAt)
    })
  })

  describe('remove', () => {
    test('is refused with the list while integrations use the entry', async () => {
      const { id } = await seal()
      at.deployment.users.set(`${tenantId()}/${id}`, ['int_1', 'int_2'])
      await assert.rejects(at.deployment.vault.remove(at.owner.caller, id), {
        code: 'object.in_use',
        details: { integrations: ['int_1', 'int_2'] },
      })
      assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, id)).values, values)
      at.deployment.users.delete(`${tenantId()}/${id}`)
      await at.deployment.vault.remove(at.owner.caller, id)
    })

    test('a removed entry is gone for every caller, and its shares are destroyed', async () => {
      const { id } = await seal()
      await at.deployment.vault.rotate(at.owner.caller, id)
      await at.deployment.vault.current(tenantId(), id)
      await at.deployment.vault.remove(at.owner.caller, id)
      await assert.rejects(at.deployment.vault.get(tenantId(), id), notFound)
      await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), notFound)
      await assert.rejects(at.deployment.vault.remove(at.owner.caller, id), notFound)
      assert.equal(await at.deployment.vault.current(tenantId(), id), undefined)
      assert.deepEqual(await at.deployment.vault.list(tenantId()), [])
      const { rows } = await at.deployment.db.query<{ wrapped_share: unknown }>(
        `select wrapped_share from vault_versions where entry_id = $1`,
        [id],
      )
      assert.deepEqual(rows, [{ wrapped_share: null }, { wrapped_share: null }])
      await at.deployment.db.query(`update vault_entries set deleted_at = null where id = $1`, [id])
      await assert.rejects(at.deployment.vault.open(tenantId(), id), unopened)
    })
  })
})
