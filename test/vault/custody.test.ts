import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Bytes, copyBytes } from '#src/core/bytes.ts'
import { AppError } from '#src/core/errors.ts'
import { Secret } from '#src/core/secret.ts'
import { type CustodyShare, createVault, type NewEntry } from '#src/vault/vault.ts'
import { createVaultKeys } from '#src/vault/vault-keys.ts'
import { countByVaultKey } from '#src/vault/version-store.ts'
import { sealedVault, unopened, values } from './sealed-vault.ts'

const required = { code: 'custody.required' }
const wrong = { code: 'custody.rejected', message: 'The vault entry could not be opened with this custody key.' }
const randomShare = (): CustodyShare => new Secret(crypto.getRandomValues(new Uint8Array(32)))

function flipped(share: CustodyShare, bit: number): CustodyShare {
  const bytes = copyBytes(share.reveal())
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return new Secret<Bytes>(bytes)
}

describe('split custody', () => {
  const at = sealedVault()

  async function sealSplit(input: Partial<NewEntry> = {}) {
    const entry = { credentialType: 'custom_kv', values, ...input }
    const sealed = await at.deployment.vault.seal(at.owner.caller, entry, { enable: true })
    assert.ok(sealed.custodyShare)
    return { id: sealed.id, share: sealed.custodyShare }
  }
  const unseal = (id: string, share?: CustodyShare) => at.deployment.vault.unseal(at.owner.caller, id, share)
  const custodyOf = async (id: string) =>
    (
      await at.deployment.db.query<{ custody: number; kept: boolean }>(
        'select custody, wrapped_share is not null as kept from vault_versions where entry_id = $1 order by version',
        [id],
      )
    ).rows.map(({ custody, kept }) => `${custody} ${kept ? 'kept' : 'shredded'}`)

  test('the share opens the entry, and is 32 bytes that were returned once and stored nowhere', async () => {
    const { id, share } = await sealSplit({ name: 'plant broker' })
    assert.equal(share.reveal().length, 32)
    assert.deepEqual((await unseal(id, share)).values, values)
    assert.equal((await at.deployment.vault.get(at.tenantId(), id)).custody, 1)
    assert.equal((await at.deployment.vault.current(at.tenantId(), id))?.custody, 1)
    const { rows } = await at.deployment.db.query('select v::text, e::text from vault_versions v, vault_entries e')
    const seen = JSON.stringify([rows, at.deployment.audit.events])
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      assert.ok(!seen.includes(Buffer.from(share.reveal()).toString(encoding)), encoding)
    }
    assert.ok(seen.includes('split_custody'))
    const other = await sealSplit()
    assert.notDeepEqual(other.share.reveal(), share.reveal())
  })

  test('without the share nothing opens it: unseal, open, re-encryption, new values', async () => {
    const { id } = await sealSplit()
    await assert.rejects(unseal(id), required)
    await assert.rejects(at.deployment.vault.open(at.tenantId(), id), required)
    await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id), required)
    await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id, values), required)
    assert.deepEqual(await custodyOf(id), ['1 kept'])
  })

  test('a share that the key wrapper’s cache knows does not stand in for the holder’s', async () => {
    const { id, share } = await sealSplit()
    await unseal(id, share)
    const asked = at.deployment.wrapper.calls.length
    await assert.rejects(unseal(id), required)
    await assert.rejects(unseal(id, randomShare()), wrong)
    assert.equal(at.deployment.wrapper.calls.length, asked, 'the wrapped share came from the cache')
  })

  test('the share of another entry, of zeros, and with any one bit flipped does not open it', async () => {
    const { id, share } = await sealSplit()
    const other = await sealSplit()
    await assert.rejects(unseal(id, other.share), wrong)
    await assert.rejects(unseal(id, new Secret(new Uint8Array(32))), wrong)
    for (let bit = 0; bit < 256; bit++) {
      at.deployment.clock.advance(6_000)
      await assert.rejects(unseal(id, flipped(share, bit)), wrong, `bit ${bit}`)
    }
    assert.deepEqual((await unseal(id, share)).values, values)
  })

  for (const length of [0, 1, 31, 33, 64]) {
    test(`a share of ${length} bytes does not open it`, async () => {
      const { id, share } = await sealSplit()
      const bytes = new Uint8Array(length)
      bytes.set(share.reveal().subarray(0, Math.min(32, length)))
      await assert.rejects(unseal(id, new Secret(bytes)), wrong)
    })
  }

  test('the custody byte counts: a record of custody 0 does not open as 1, nor one of 1 as 0', async () => {
    const flip = (id: string, custody: number) =>
      at.deployment.db.query('update vault_versions set custody = $2 where entry_id = $1', [id, custody])
    const plain = await at.seal()
    await flip(plain.id, 1)
    await assert.rejects(unseal(plain.id), required)
    await assert.rejects(unseal(plain.id, new Secret(new Uint8Array(32))), wrong)
    await flip(plain.id, 0)
    assert.deepEqual((await unseal(plain.id)).values, values)

    const { id, share } = await sealSplit()
    await flip(id, 0)
    await assert.rejects(unseal(id), unopened)
    await assert.rejects(at.deployment.vault.open(at.tenantId(), id), unopened)
    await flip(id, 1)
    assert.deepEqual((await unseal(id, share)).values, values)
  })

  test('each stored field counts with the right share too, in the words of a wrong share', async () => {
    const { id, share } = await sealSplit()
    const row = await at.rowOf(id)
    let tried = 0
    for (const column of ['kem_ciphertext', 'commitment', 'sealed'] as const) {
      const original = copyBytes(row[column] ?? Buffer.alloc(0))
      for (const bit of [0, original.length * 8 - 1]) {
        const changed = copyBytes(original)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [changed, id])
        await assert.rejects(unseal(id, share), wrong, column)
        tried++
      }
      await at.deployment.db.query(`update vault_versions set ${column} = $1 where entry_id = $2`, [original, id])
    }
    assert.equal(tried, 6)
    assert.deepEqual((await unseal(id, share)).values, values)
  })

  test('a share for an entry that has none is refused, so that nobody believes it was needed', async () => {
    const { id } = await at.seal()
    const refusal = { code: 'request.invalid', message: /not in split custody/ }
    await assert.rejects(unseal(id, randomShare()), refusal)
    await assert.rejects(at.deployment.vault.rotate(at.owner.caller, id, values, { share: randomShare() }), refusal)
    await assert.rejects(at.deployment.vault.verifyShare(at.owner.caller, id, randomShare()), refusal)
  })

  describe('wrong shares', () => {
    test('each is on record', async () => {
      const { id } = await sealSplit()
      const { vault } = at.deployment
      await assert.rejects(unseal(id, randomShare()), wrong)
      await assert.rejects(vault.rotate(at.owner.caller, id, values, { share: randomShare() }), wrong)
      await assert.rejects(unseal(id), required)
      assert.deepEqual(
        at.eventsOf(id).map(({ action, outcome, detail }) => [action, outcome, detail?.['code']]),
        [
          ['vault.seal', 'success', undefined],
          ['vault.unseal', 'failure', 'custody.rejected'],
          ['vault.rotate', 'failure', 'custody.rejected'],
          ['vault.unseal', 'failure', 'custody.required'],
        ],
      )
    })

    test('ten in a row, also at once, then one every 6 s; another entry and a held share are not concerned', async () => {
      const { id, share } = await sealSplit()
      const tried = await Promise.allSettled(Array.from({ length: 30 }, () => unseal(id, randomShare())))
      const codes = tried.map((one) => (one.status === 'rejected' ? (one.reason as { code: string }).code : 'opened'))
      assert.equal(codes.filter((code) => code === 'custody.rejected').length, 10)
      assert.equal(codes.filter((code) => code === 'rate.limited').length, 20)
      await assert.rejects(unseal(id, share), { code: 'rate.limited', retryAfterS: 6 })
      const other = await sealSplit()
      assert.deepEqual((await unseal(other.id, other.share)).values, values)
      assert.deepEqual((await at.deployment.vault.open(at.tenantId(), id, share)).values, values)
      at.deployment.clock.advance(6_000)
      assert.deepEqual((await unseal(id, share)).values, values)
      await assert.rejects(unseal(id, randomShare()), wrong)
      await assert.rejects(unseal(id, randomShare()), { code: 'rate.limited' })
    })

    test('of one caller keep no other caller out', async () => {
      const { id, share } = await sealSplit()
      const stranger = { ...at.owner.caller, actor: { id: 'key_stranger' } }
      for (let i = 0; i < 10; i++) await assert.rejects(at.deployment.vault.unseal(stranger, id, randomShare()), wrong)
      await assert.rejects(at.deployment.vault.unseal(stranger, id, share), { code: 'rate.limited' })
      assert.deepEqual((await unseal(id, share)).values, values)
      assert.equal(await at.deployment.vault.verifyShare(at.owner.caller, id, share), 1)
    })

    test('the right share costs nothing, however often it comes', async () => {
      const { id, share } = await sealSplit()
      for (let i = 0; i < 30; i++) await unseal(id, share)
    })

    test('a key wrapper that is away is not taken for a wrong share', async () => {
      const { id, share } = await sealSplit()
      at.deployment.wrapper.down = true
      for (let i = 0; i < 30; i++) await assert.rejects(unseal(id, share), { code: 'kms.unavailable' })
      at.deployment.wrapper.down = false
      assert.deepEqual((await unseal(id, share)).values, values)
    })
  })

  describe('rotation', () => {
    const rotate = (
      ...args: Parameters<typeof at.deployment.vault.rotate> extends [unknown, ...infer Rest] ? Rest : never
    ) => at.deployment.vault.rotate(at.owner.caller, ...args)

    test('with the share the entry stays under it, with old values and with new ones', async () => {
      const { id, share } = await sealSplit()
      assert.equal((await rotate(id, undefined, { share })).custodyShare, undefined)
      assert.deepEqual((await unseal(id, share)).values, values)
      await rotate(id, { password: 'new' }, { share })
      assert.deepEqual(await unseal(id, share), {
        version: 3,
        credentialType: 'custom_kv',
        values: { password: 'new' },
      })
      assert.deepEqual(await custodyOf(id), ['1 shredded', '1 shredded', '1 kept'])
      await assert.rejects(unseal(id), required)
    })

    test('a wrong share changes nothing, also where new values are given', async () => {
      const { id, share } = await sealSplit()
      for (const given of [undefined, { password: 'stolen' }]) {
        for (const enable of [false, true]) {
          await assert.rejects(rotate(id, given, { share: randomShare(), enable }), wrong)
        }
      }
      assert.deepEqual(await unseal(id, share), { version: 1, credentialType: 'custom_kv', values })
    })

    test('enable makes a new share: the old one opens nothing, and no earlier version is left', async () => {
      const { id, share } = await sealSplit()
      const { custodyShare } = await rotate(id, undefined, { share, enable: true })
      assert.ok(custodyShare)
      await assert.rejects(unseal(id, share), wrong)
      assert.deepEqual((await unseal(id, custodyShare)).values, values)
      assert.deepEqual(await custodyOf(id), ['1 shredded', '1 kept'])
    })

    test('a lost share: new values with enable are the way out, re-encryption is not', async () => {
      const { id } = await sealSplit()
      await assert.rejects(rotate(id, undefined, { enable: true }), required)
      const { custodyShare } = await rotate(id, { password: 'new' }, { enable: true })
      assert.deepEqual((await unseal(id, custodyShare)).values, { password: 'new' })
    })

    test('enable moves an ordinary entry into split custody and leaves nothing that opens without the share', async () => {
      const { id } = await at.seal()
      const { custodyShare, custody } = await rotate(id, undefined, { enable: true })
      assert.equal(custody, 1)
      assert.deepEqual(await custodyOf(id), ['0 shredded', '1 kept'])
      await assert.rejects(unseal(id), required)
      assert.deepEqual((await unseal(id, custodyShare)).values, values)
      assert.equal((await at.deployment.vault.current(at.tenantId(), id))?.custody, 1)
    })

    test('an expired entry takes new values with its share, and the share must be right', async () => {
      const { id, share } = await sealSplit({ ttlDays: 1 })
      at.deployment.clock.advance(86_400_000)
      await assert.rejects(unseal(id, share), { code: 'credential.expired' })
      await assert.rejects(rotate(id, { password: 'new' }, { share: randomShare() }), wrong)
      await rotate(id, { password: 'new' }, { share })
      assert.deepEqual((await unseal(id, share)).values, { password: 'new' })
    })

    test('a new share that was not committed is wiped', async () => {
      const { id, share } = await sealSplit()
      const made: Uint8Array[] = []
      const { provider } = at.deployment
      const original = provider.randomBytes
      const watched = {
        ...provider,
        randomBytes(size: number) {
          const bytes = original(size)
          if (size === 32) made.push(bytes)
          return bytes
        },
      }
      const vault = createVault({ ...at.deployment, provider: watched, usersOf: async () => [] })
      at.deployment.audit.failing = true
      await assert.rejects(vault.rotate(at.owner.caller, id, undefined, { share, enable: true }), {
        code: 'audit.unavailable',
      })
      at.deployment.audit.failing = false
      assert.ok(made.length >= 2)
      assert.ok(made.every((bytes) => bytes.every((byte) => byte === 0)))
      assert.deepEqual((await unseal(id, share)).values, values)
    })
  })

  describe('a new vault key', () => {
    const rotateKey = () => createVaultKeys(at.deployment).rotate(at.owner.caller)
    const counts = () => countByVaultKey(at.deployment.db, at.tenantId())

    test('the record moves to it when its holder unseals, under the same share and version, and that is on record', async () => {
      const { id, share } = await sealSplit()
      await at.deployment.vault.rotate(at.owner.caller, id, undefined, { share })
      const { keyId, retiredKeyId } = await rotateKey()
      assert.ok(retiredKeyId)
      assert.deepEqual(await counts(), [{ keyId: retiredKeyId, live: 1, inCustody: 1 }])
      await assert.rejects(unseal(id, randomShare()), wrong)
      await assert.rejects(unseal(id), required)
      assert.deepEqual(await counts(), [{ keyId: retiredKeyId, live: 1, inCustody: 1 }])
      const opened = { version: 2, credentialType: 'custom_kv', values }
      assert.deepEqual(await unseal(id, share), opened)
      assert.deepEqual(await counts(), [{ keyId, live: 1, inCustody: 1 }])
      assert.deepEqual(await unseal(id, share), opened)
      assert.equal(at.eventsOf(id).filter(({ action }) => action === 'vault.reencrypt').length, 1)
    })

    test('it moves when its holder unlocks, too', async () => {
      const { id, share } = await sealSplit()
      const { keyId } = await rotateKey()
      assert.equal(await at.deployment.vault.verifyShare(at.owner.caller, id, share), 1)
      assert.deepEqual(await counts(), [{ keyId, live: 1, inCustody: 1 }])
      assert.deepEqual((await unseal(id, share)).values, values)
    })

    test('a move that fails keeps nobody from the values; it moves the next time', async () => {
      const { id, share } = await sealSplit()
      const { keyId: active, retiredKeyId } = await rotateKey()
      const { wrapper } = at.deployment
      const wrap = wrapper.wrap
      wrapper.wrap = () => Promise.reject(new AppError('kms.unavailable', 'Encrypt is not allowed.'))
      assert.deepEqual((await unseal(id, share)).values, values)
      wrapper.wrap = wrap
      const keyIds = async () => (await counts()).map(({ keyId }) => keyId)
      assert.deepEqual(await keyIds(), [retiredKeyId])
      await unseal(id, share)
      assert.deepEqual(await keyIds(), [active])
    })
  })

  test('the digest of a record in split custody is the one on record', async () => {
    const { id } = await sealSplit()
    const written = at.eventsOf(id)[0]?.detail
    assert.match(String(written?.['record_sha384']), /^[0-9a-f]{96}$/)
    assert.equal(written?.['split_custody'], true)
  })
})
