import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AuditedChange } from '#src/audit/audited-change.ts'
import { decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { toHex } from '#src/core/hex.ts'
import { nobleProvider } from '#src/crypto/noble.ts'
import { createTenantKeys } from '#src/keys/tenant-keys.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { createEntryOpener } from '#src/vault/open-entry.ts'
import { digestRecord } from '#src/vault/record.ts'
import { createRecordKeeper, type RecordKeeper } from '#src/vault/record-keeper.ts'
import { findCurrentRecord } from '#src/vault/record-store.ts'
import { createVault } from '#src/vault/vault.ts'
import { createVaultWrites } from '#src/vault/vault-writes.ts'
import { localFeed } from '#test/support/deployment.ts'
import { sealedVault, unknownId, values } from './sealed-vault.ts'

const shape = { version: 1, credentialType: 'custom_kv', schema: 1, custody: 0 } as const

describe('vault, its key wrapper and its audit rows', () => {
  const at = sealedVault()
  const { seal, tenantId, eventsOf } = at

  describe('key wrapper', () => {
    test('every request for a share names tenant, entry and version', async () => {
      at.deployment.wrapper.calls.length = 0
      const { id } = await seal()
      await at.deployment.vault.open(tenantId(), id)
      const shares = at.deployment.wrapper.calls.filter(({ context }) => context.purpose === 'vault-share')
      assert.deepEqual(
        shares.map(({ method }) => method),
        ['wrap', 'unwrap'],
      )
      for (const { context } of shares) {
        assert.deepEqual(context, { tenant_id: tenantId(), entry_id: id, version: '1', purpose: 'vault-share' })
      }
    })

    test('a share is asked for once: by sixteen connections that open at the same time, and for five minutes', async () => {
      const { id } = await seal()
      at.deployment.wrapper.calls.length = 0
      const opened = await Promise.all(Array.from({ length: 16 }, () => at.deployment.vault.open(tenantId(), id)))
      for (const one of opened) assert.deepEqual(one.values, values)
      const asked = () => at.deployment.wrapper.calls.filter(({ context }) => context.purpose === 'vault-share').length
      assert.equal(asked(), 1)
      at.deployment.clock.advance(299_999)
      await at.deployment.vault.open(tenantId(), id)
      assert.equal(asked(), 1)
      at.deployment.clock.advance(2)
      await at.deployment.vault.open(tenantId(), id)
      assert.equal(asked(), 2)
    })

    test('with the key wrapper away nothing opens, and afterwards all does', async () => {
      const { id } = await seal()
      const vault = createVault({
        ...at.deployment,
        feed: localFeed(),
        tenantKeys: createTenantKeys(at.deployment),
        usersOf: async () => [],
      })
      at.deployment.wrapper.down = true
      await assert.rejects(vault.open(tenantId(), id), { code: 'kms.unavailable' })
      await assert.rejects(seal(), { code: 'kms.unavailable' })
      at.deployment.wrapper.down = false
      assert.deepEqual((await vault.open(tenantId(), id)).values, values)
      assert.equal((await vault.list(tenantId())).length, 1)
    })

    test('a change of the entry, or a lost change feed, wipes what is kept', async () => {
      const { id } = await seal()
      const asked = () => at.deployment.wrapper.calls.filter(({ context }) => context.purpose === 'vault-share').length
      for (const key of [`${tenantId()}/${id}`, undefined]) {
        await at.deployment.vault.open(tenantId(), id)
        const before = asked()
        at.deployment.feed.send('vault', `${tenantId()}/${unknownId}`)
        await at.deployment.vault.open(tenantId(), id)
        assert.equal(asked(), before)
        at.deployment.feed.send('vault', key)
        await at.deployment.vault.open(tenantId(), id)
        assert.equal(asked(), before + 1)
      }
    })

    test('an unwrapped share is wiped when everybody who waited has a copy, a plaintext also when sealing fails', async () => {
      const unwrapped: Uint8Array[] = []
      const plaintexts: Uint8Array[] = []
      let fails = false
      const wrapper: KeyWrapper = {
        ...at.deployment.wrapper,
        async wrap(...args) {
          if (fails) throw new Error('away')
          return at.deployment.wrapper.wrap(...args)
        },
        async unwrap(...args) {
          const secret = await at.deployment.wrapper.unwrap(...args)
          unwrapped.push(secret)
          return secret
        },
      }
      const keeper = createRecordKeeper({ ...at.deployment, wrapper, feed: localFeed() })
      const context = { ...shape, tenantId: tenantId(), entryId: unknownId }
      const record = await keeper.seal(context, utf8('secret'))
      const opened = await Promise.all([1, 2, 3].map(() => keeper.open(context, { ...record, ...shape })))
      assert.deepEqual(
        opened.map((plaintext) => decodeUtf8(plaintext)),
        ['secret', 'secret', 'secret'],
      )
      await new Promise(setImmediate)
      assert.deepEqual(
        unwrapped.map((share) => share.every((byte) => byte === 0)),
        [true],
      )

      const change: AuditedChange = () => assert.fail('nothing may be written')
      const watched: RecordKeeper = {
        ...keeper,
        seal(at, plaintext) {
          plaintexts.push(plaintext)
          return keeper.seal(at, plaintext)
        },
      }
      const { id } = await seal()
      const opener = createEntryOpener({ ...at.deployment, keeper: createRecordKeeper(at.deployment) })
      const all = {
        ...at.deployment,
        usersOf: async () => [],
        change,
        keeper: watched,
        opener,
        forget: () => undefined,
      }
      const writes = createVaultWrites(all)
      fails = true
      await assert.rejects(writes.seal(at.owner.caller, { credentialType: 'custom_kv', values }), /away/)
      await assert.rejects(writes.rotate(at.owner.caller, id, values), /away/)
      await assert.rejects(writes.rotate(at.owner.caller, id), /away/)
      assert.deepEqual(
        plaintexts.map((plaintext) => plaintext.length > 0 && plaintext.every((byte) => byte === 0)),
        [true, true, true],
      )
    })

    test('what one provider sealed the other opens', async () => {
      const { id } = await seal()
      const other = { ...at.deployment, provider: nobleProvider, feed: localFeed(), usersOf: async () => [] }
      const vault = createVault({ ...other, tenantKeys: createTenantKeys(other) })
      assert.deepEqual((await vault.open(tenantId(), id)).values, values)
      await vault.rotate(at.owner.caller, id)
      assert.deepEqual((await at.deployment.vault.open(tenantId(), id)).values, values)
    })
  })

  describe('audit', () => {
    test('each write is on record with the SHA-384 of the record as it is stored', async () => {
      const { id } = await seal({ name: 'plant broker', ttlDays: 90 })
      const digest = async () => {
        const found = await findCurrentRecord(at.deployment.db, tenantId(), id, new Date(at.deployment.clock.now()))
        assert.ok(found?.record.wrappedShare)
        const { entry, record } = found
        const context = {
          tenantId: tenantId(),
          entryId: id,
          version: entry.version,
          credentialType: entry.credentialType,
          schema: record.schema,
          custody: record.custody,
        }
        return toHex(
          digestRecord(at.deployment.provider, context, { ...record, wrappedShare: found.record.wrappedShare }),
        )
      }
      const first = await digest()
      await at.deployment.vault.rotate(at.owner.caller, id, values)
      const second = await digest()
      await at.deployment.vault.rotate(at.owner.caller, id)
      await at.deployment.vault.unseal(at.owner.caller, id)
      await at.deployment.vault.remove(at.owner.caller, id)
      const seen = eventsOf(id)
      assert.deepEqual(
        seen.map(({ action, outcome, detail }) => [action, outcome, detail?.['version']]),
        [
          ['vault.seal', 'success', 1],
          ['vault.rotate', 'success', 2],
          ['vault.rotate', 'success', 3],
          ['vault.unseal', 'success', 3],
          ['vault.delete', 'success', 3],
        ],
      )
      assert.equal(seen[0]?.detail?.['record_sha384'], first)
      assert.equal(seen[1]?.detail?.['record_sha384'], second)
      assert.equal(first.length, 96)
      assert.deepEqual(
        seen.map(({ detail }) => detail?.['new_values']),
        [undefined, true, false, undefined, undefined],
      )
      for (const event of seen)
        assert.deepEqual(
          [event.tenantId, event.actor.id, event.requestId],
          [tenantId(), at.owner.principal.keyId, 'req_test'],
        )
    })

    test('without the record nothing changes and nothing is told', async () => {
      const { id } = await seal()
      at.deployment.audit.failing = true
      const unavailable = { code: 'audit.unavailable' }
      await assert.rejects(seal(), unavailable)
      await assert.rejects(at.deployment.vault.unseal(at.owner.caller, id), unavailable)
      await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id, { password: 'new' }), unavailable)
      await assert.rejects(at.deployment.vault.remove(at.owner.caller, id), unavailable)
      at.deployment.audit.failing = false
      assert.equal((await at.deployment.vault.list(tenantId())).length, 1)
      assert.equal((await at.deployment.vault.get(tenantId(), id)).lastAccessedAt, null)
      assert.deepEqual(await at.deployment.vault.unseal(at.owner.caller, id), {
        version: 1,
        credentialType: 'custom_kv',
        values,
      })
      assert.equal((await at.deployment.vault.get(tenantId(), id)).lastAccessedAt?.getTime(), at.deployment.clock.now())
    })
  })
})
