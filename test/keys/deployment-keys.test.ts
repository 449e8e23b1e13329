import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { equalBytes, utf8 } from '#src/core/bytes.ts'
import { opensslProvider } from '#src/crypto-native/openssl.ts'
import type { Db } from '#src/db/db.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import { hasKeys, openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { providers, testClock, testWrapper, watchedWrapper } from '#test/support/deployment.ts'

const day = 86_400_000

describe('keys of the deployment', () => {
  let database: TestDatabase
  let db: Db
  let wrapper: KeyWrapper
  const clock = testClock()
  const provider = opensslProvider
  const open = (other: KeyWrapper = wrapper) => openDeploymentKeys({ db, wrapper: other, provider, clock })

  before(async () => {
    database = await testDatabase()
    db = database.db
    wrapper = await testWrapper()
  })
  after(() => database.drop())

  test('an empty database gets its keys once, whoever starts first: two starts at the same time agree', async () => {
    assert.equal(await hasKeys(db), false)
    const [one, two] = await Promise.all([open(), open()])
    assert.equal(await hasKeys(db), true)
    assert.equal(one.rootFingerprint, two.rootFingerprint)
    assert.equal(one.issuer.keyId, two.issuer.keyId)
    const { rows } = await db.query<{ purpose: string }>(
      `select purpose from keys where tenant_id = '-' order by purpose`,
    )
    const purposes = ['api-key-pepper', 'audit-head-key', 'audit-key', 'canary', 'cursor-key', 'issuer-key', 'root-key']
    assert.deepEqual(
      rows.map((row) => row.purpose),
      purposes,
    )
  })

  test('a later start has the same keys, with either provider', async () => {
    const first = await open()
    const message = utf8('message')
    assert.equal(providers.length, 2)
    for (const other of providers) {
      const again = await openDeploymentKeys({ db, wrapper, provider: other, clock })
      assert.equal(again.rootFingerprint, first.rootFingerprint)
      for (const name of ['pepper', 'cursor', 'auditHead'] as const) {
        assert.equal(again[name].id, first[name].id)
        assert.ok(equalBytes(again[name].mac.mac(message), first[name].mac.mac(message)), name)
      }
      const signature = await again.issuer.signing.sign(message, utf8('context'))
      assert.ok(first.issuer.verify.verify(message, utf8('context'), signature))
    }
  })

  test('each key has a purpose of its own: no two HMAC keys are equal', async () => {
    const keys = await open()
    const tags = [keys.pepper, keys.cursor, keys.auditHead].map(({ mac }) =>
      Buffer.from(mac.mac(utf8('x'))).toString('hex'),
    )
    assert.equal(new Set(tags).size, 3)
  })

  test('every wrap names the deployment, its purpose and its key id', async () => {
    const watched = watchedWrapper(wrapper)
    await open(watched)
    assert.equal(watched.calls.length, 7)
    for (const { context } of watched.calls) {
      assert.equal(context.tenant_id, '-')
      const { rows } = await db.query(`select 1 from keys where id = $1 and purpose = $2`, [
        context['key_id'],
        context.purpose,
      ])
      assert.equal(rows.length, 1, context.purpose)
    }
  })

  test('no private half is in the table in the clear', async () => {
    const { rows } = await db.query<{ wrapped: Buffer; purpose: string }>(`select wrapped, purpose from keys`)
    assert.equal(rows.length, 7)
    for (const { wrapped, purpose } of rows) assert.ok(wrapped.length >= 32 + 92, `${purpose} is wrapped`)
  })

  test('the key document opens under the fingerprint, and holds the issuer and the audit key', async () => {
    const keys = await open()
    const nowS = Math.floor(clock.now() / 1000)
    const issuers = openKeyDocument(provider, await keys.document(), keys.rootFingerprint, nowS)
    const uses = new Map([...issuers.values()].map(({ keyId, use }) => [keyId, use]))
    assert.deepEqual(
      uses,
      new Map([
        [keys.auditKey.keyId, 'audit'],
        [keys.issuer.keyId, 'envelope-v2'],
      ]),
    )
    assert.deepEqual([...keys.issuers().keys()], [keys.issuer.keyId])
    assert.equal(issuers.get(keys.issuer.keyId)?.state, 'active')
    assert.throws(() => openKeyDocument(provider, {}, keys.rootFingerprint, nowS), { code: 'envelope.issuer_unknown' })
  })

  test('the key document is cached for a day and never has less than six days to live', async () => {
    const own = testClock(clock.now())
    const keys = await openDeploymentKeys({ db, wrapper, provider, clock: own })
    const first = await keys.document()
    own.advance(day - 2000)
    assert.equal(await keys.document(), first)
    own.advance(2000)
    const second = await keys.document()
    assert.notEqual(second, first)
    const nowS = Math.floor(own.now() / 1000)
    assert.ok(openKeyDocument(provider, second, keys.rootFingerprint, nowS + 6 * 86_400))
  })

  test('another key wrapper does not open the canary: the start fails and names key ids, never bytes', async () => {
    const other = await testWrapper()
    const { rows } = await db.query<{ id: string; kms_key_id: string }>(
      `select id, kms_key_id from keys where purpose = 'canary'`,
    )
    const canary = rows[0]
    assert.ok(canary)
    await assert.rejects(open(other), (err: Error & { code?: string }) => {
      assert.equal(err.code, 'kms.unavailable')
      assert.ok(err.message.includes(canary.id) && err.message.includes(canary.kms_key_id))
      assert.ok(err.message.includes(other.defaultKeyId))
      assert.doesNotMatch(err.message, /[A-Za-z0-9+/]{43}/)
      return true
    })
  })

  const damage = [
    {
      what: 'a bit of its KEM ciphertext',
      sql: `set_bit(public, 1184 * 8 + 3, 1 - get_bit(public, 1184 * 8 + 3))`,
      column: 'public',
    },
    {
      what: 'a bit of its sealed text',
      sql: `set_bit(public, 2290 * 8, 1 - get_bit(public, 2290 * 8))`,
      column: 'public',
    },
    { what: 'a bit of its encapsulation key', sql: `set_bit(public, 9, 1 - get_bit(public, 9))`, column: 'public' },
    { what: 'a bit of its wrapped seed', sql: `set_bit(wrapped, 600, 1 - get_bit(wrapped, 600))`, column: 'wrapped' },
    { what: 'its end', sql: `substring(public from 1 for 2284)`, column: 'public' },
    {
      what: 'its wrap, for that of another key',
      sql: `(select wrapped from keys where purpose = 'root-key')`,
      column: 'wrapped',
    },
  ]
  for (const { what, sql, column } of damage) {
    test(`a canary that lost ${what} stops the start`, async () => {
      const { rows } = await db.query<{ public: Buffer; wrapped: Buffer }>(
        `select public, wrapped from keys where purpose = 'canary'`,
      )
      await open()
      await db.query(`update keys set ${column} = ${sql} where purpose = 'canary'`)
      await assert.rejects(open(), { code: 'kms.unavailable' })
      await db.query(`update keys set public = $1, wrapped = $2 where purpose = 'canary'`, [
        rows[0]?.public,
        rows[0]?.wrapped,
      ])
      await open()
    })
  }

  const purposes = ['canary', 'root-key', 'issuer-key', 'audit-key', 'api-key-pepper', 'cursor-key', 'audit-head-key']
  for (const purpose of purposes) {
    test(`a database with keys but without ${purpose} stops the start; nothing is made in its place`, async () => {
      await db.query(`update keys set state = 'retired' where purpose = $1`, [purpose])
      await assert.rejects(open(), { code: 'vault.unavailable', message: new RegExp(purpose) })
      const { rows } = await db.query(`select 1 from keys`)
      assert.equal(rows.length, purposes.length)
      await db.query(`update keys set state = 'active' where purpose = $1`, [purpose])
      await open()
    })
  }

  test('two active keys of one purpose cannot be: the table refuses the second', async () => {
    await assert.rejects(
      db.query(
        `insert into keys select 'sig_other', tenant_id, purpose, state, public, wrapped, kms_key_id, created_at, not_before
         from keys where purpose = 'issuer-key'`,
      ),
      { code: '23505' },
    )
  })

  for (const purpose of ['canary', 'root-key', 'issuer-key', 'audit-key', 'api-key-pepper']) {
    test(`two active keys for ${purpose}, should the index ever be gone, stop the start; the message names both`, async () => {
      const { rows } = await db.query<{ id: string }>(`select id from keys where purpose = $1`, [purpose])
      await db.query('drop index keys_one_active')
      await db.query(
        `insert into keys select 'other_id', tenant_id, purpose, state, public, wrapped, kms_key_id, created_at, not_before
         from keys where purpose = $1`,
        [purpose],
      )
      await assert.rejects(open(), (err: Error & { code?: string }) => {
        assert.equal(err.code, 'vault.unavailable')
        assert.ok(err.message.includes('other_id') && err.message.includes(rows[0]?.id ?? '?'), err.message)
        return true
      })
      await db.query(`delete from keys where id = 'other_id'`)
      await db.query(
        `create unique index keys_one_active on keys (tenant_id, purpose)
         where state = 'active' and purpose not in ('recipient-seed', 'mac-key')`,
      )
      await open()
    })
  }

  test('halves that do not belong together stop the start', async () => {
    const { rows } = await db.query<{ public: Buffer }>(`select public from keys where purpose = 'issuer-key'`)
    await db.query(
      `update keys set public = (select public from keys where purpose = 'root-key') where purpose = 'issuer-key'`,
    )
    await assert.rejects(open(), { code: 'vault.unavailable' })
    await db.query(`update keys set public = $1 where purpose = 'issuer-key'`, [rows[0]?.public])
    await open()
  })
})
