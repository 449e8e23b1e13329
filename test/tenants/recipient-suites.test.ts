import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Bytes, concatBytes, decodeUtf8, utf8 } from '#src/core/bytes.ts'
import { opensslProvider as provider } from '#src/crypto-native/openssl.ts'
import { migrate } from '#src/db/migrate.ts'
import { enrolmentProof } from '#src/envelope/enrolment.ts'
import { openEnvelope } from '#src/envelope/open.ts'
import { sealEnvelope } from '#src/envelope/seal.ts'
import { signLeaves } from '#src/envelope/sign-leaves.ts'
import { findSuite, ML_KEM_SUITE, SUITE_NAMES, X_WING_SUITE } from '#src/envelope/suites.ts'
import { testDatabase } from '#test/support/database.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'

const ML_KEM_BYTES = 1184
const TAKEN = { code: 'request.invalid', message: 'kem_public_key: this key is enrolled already; make a new one.' }

function privateKey(suiteName: string) {
  const suite = findSuite(suiteName)
  assert.ok(suite)
  return suite.privateKey(provider, provider.randomBytes(suite.seedBytes))
}
const newKey = (suite: string): Bytes => privateKey(suite).publicKey

describe('suites of recipients', () => {
  let deployment: TestDeployment
  let owner: Awaited<ReturnType<TestDeployment['tenant']>>
  before(async () => {
    deployment = await testDeployment()
  })
  beforeEach(async () => {
    owner = await deployment.tenant()
  })
  after(() => deployment.drop())

  /** Each with an API key of its own, so that none replaces the pending one of another. */
  async function enroll(kemPublicKey: Bytes, suite: string) {
    const { secret } = await deployment.apiKeys.create(owner.caller, owner.principal, { name: 'a', role: 'editor' })
    const principal = await deployment.authenticate(secret.reveal(), '192.0.2.1')
    const caller = { tenantId: principal.tenantId, actor: { id: principal.keyId }, requestId: 'req_test' }
    const pending = await deployment.recipients.enroll(caller, principal, { kemPublicKey, suite, name: 'controller' })
    return { ...pending, principal, caller }
  }

  for (const suite of SUITE_NAMES) {
    test(`${suite}: enrols, becomes active, and opens what is sealed to it; its suite is kept`, async () => {
      const kem = privateKey(suite)
      const { recipient, macKey, principal, caller } = await enroll(kem.publicKey, suite)
      const mac = provider.macKey(macKey)
      const proof = enrolmentProof(mac, recipient.recipientId, kem.publicKey)
      await deployment.recipients.confirm(caller, principal, recipient.recipientId, proof)
      const { kem: _, custody, ...ids } = await deployment.replica().recipients.sealingFor(principal)
      assert.deepEqual([custody, ids.suite], ['client', suite])

      const to = await deployment.recipients.sealingFor(principal)
      const iat = Math.floor(deployment.clock.now() / 1000)
      const claims = { op: 'x', sub: null, rid: 'req_1', rqh: null, st: 200, seq: null, iat, exp: iat + 300 }
      const { issuer } = deployment.keys
      const sealed = sealEnvelope(provider, to, issuer.keyId, claims, utf8('answer'))
      const [signature] = await signLeaves(provider, issuer, [sealed])
      assert.ok(signature)
      const reader = { ...ids, kem, mac }
      const expected = { op: 'x', rqh: null, nowS: iat }
      const keys = deployment.keys.issuers()
      const { plaintext } = openEnvelope(provider, sealed.complete(signature), reader, keys, expected)
      assert.equal(decodeUtf8(plaintext), 'answer')
    })
  }

  const twins: { what: string; first: string; second: string; make: (key: Bytes, fresh: Bytes) => Bytes }[] = [
    {
      what: 'the ML-KEM half of an X-Wing key, as a key of ML-KEM',
      first: X_WING_SUITE,
      second: ML_KEM_SUITE,
      make: (key) => key.slice(0, ML_KEM_BYTES),
    },
    {
      what: 'a key of ML-KEM, as half of an X-Wing key',
      first: ML_KEM_SUITE,
      second: X_WING_SUITE,
      make: (key, fresh) => concatBytes(key, fresh.subarray(ML_KEM_BYTES)),
    },
    {
      what: 'the ML-KEM half of one X-Wing key in another',
      first: X_WING_SUITE,
      second: X_WING_SUITE,
      make: (key, fresh) => concatBytes(key.subarray(0, ML_KEM_BYTES), fresh.subarray(ML_KEM_BYTES)),
    },
    {
      what: 'the X25519 half of one X-Wing key in another',
      first: X_WING_SUITE,
      second: X_WING_SUITE,
      make: (key, fresh) => concatBytes(fresh.subarray(0, ML_KEM_BYTES), key.subarray(ML_KEM_BYTES)),
    },
    {
      what: 'the X25519 half in another spelling: the bit that X25519 ignores',
      first: X_WING_SUITE,
      second: X_WING_SUITE,
      make: (key, fresh) => {
        const other = concatBytes(fresh.subarray(0, ML_KEM_BYTES), key.subarray(ML_KEM_BYTES))
        other[other.length - 1] = (other.at(-1) ?? 0) ^ 0x80
        return other
      },
    },
  ]
  for (const { what, first, second, make } of twins) {
    test(`${what} is refused; a fresh key is not`, async () => {
      const key = newKey(first)
      await enroll(key, first)
      await assert.rejects(enroll(make(key, newKey(second)), second), TAKEN)
      await enroll(newKey(second), second)
    })
  }

  test('the X25519 half in another spelling: over the prime', async () => {
    const x25519 = new Uint8Array(32).fill(0xff)
    x25519[0] = 0xed + 9 // 9 over 2^255 − 19, so the base point
    x25519[31] = 0x7f
    const canonical = new Uint8Array(32)
    canonical[0] = 9
    const withHalf = (half: Bytes) => concatBytes(newKey(X_WING_SUITE).subarray(0, ML_KEM_BYTES), half)
    await enroll(withHalf(x25519), X_WING_SUITE)
    await assert.rejects(enroll(withHalf(canonical), X_WING_SUITE), TAKEN)
    canonical[0] = 10
    await enroll(withHalf(canonical), X_WING_SUITE)
  })

  test('a half that is ours is refused, whatever stands beside it', async () => {
    const { kem } = await deployment.tenantKeys.vaultKey(owner.principal.tenantId)
    const own = newKey(X_WING_SUITE)
    await assert.rejects(enroll(concatBytes(kem.bytes, own.subarray(ML_KEM_BYTES)), X_WING_SUITE), TAKEN)
    await enroll(own, X_WING_SUITE)
  })

  const unacceptable: { what: string; suite: string; make: () => Bytes }[] = [
    { what: 'a key of the other suite', suite: X_WING_SUITE, make: () => newKey(ML_KEM_SUITE) },
    { what: 'an X-Wing key as one of ML-KEM', suite: ML_KEM_SUITE, make: () => newKey(X_WING_SUITE) },
    {
      what: 'an X25519 half of low order',
      suite: X_WING_SUITE,
      make: () => concatBytes(newKey(X_WING_SUITE).subarray(0, ML_KEM_BYTES), new Uint8Array(32)),
    },
    {
      what: 'an ML-KEM half of zeros',
      suite: X_WING_SUITE,
      make: () => concatBytes(new Uint8Array(ML_KEM_BYTES), newKey(X_WING_SUITE).subarray(ML_KEM_BYTES)),
    },
    { what: 'a suite that is none', suite: 'X25519MLKEM768', make: () => newKey(X_WING_SUITE) },
  ]
  for (const { what, suite, make } of unacceptable) {
    test(`${what} is refused, and nothing of it is kept`, async () => {
      await assert.rejects(enroll(make(), suite), { code: 'request.invalid' })
      assert.deepEqual(await deployment.recipients.list(owner.principal.tenantId), [])
    })
  }

  test('the halves of a pending one that died may be enrolled again, one by one', async () => {
    const key = newKey(X_WING_SUITE)
    await enroll(key, X_WING_SUITE)
    deployment.clock.advance(600_001)
    await enroll(key.slice(0, ML_KEM_BYTES), ML_KEM_SUITE)
    const x25519 = key.subarray(ML_KEM_BYTES)
    await enroll(concatBytes(newKey(X_WING_SUITE).subarray(0, ML_KEM_BYTES), x25519), X_WING_SUITE)
  })

  test('many that enrol crossed halves at once do not block each other for good', async () => {
    const [a, b] = [newKey(X_WING_SUITE), newKey(X_WING_SUITE)]
    const crossed = [
      a,
      concatBytes(b.subarray(0, ML_KEM_BYTES), a.subarray(ML_KEM_BYTES)),
      concatBytes(a.subarray(0, ML_KEM_BYTES), b.subarray(ML_KEM_BYTES)),
      b,
    ]
    const results = await Promise.allSettled(crossed.map((key) => enroll(key, X_WING_SUITE)))
    const refused = results.filter((result) => result.status === 'rejected')
    for (const { reason } of refused) assert.equal((reason as Error).message, TAKEN.message)
    assert.ok(refused.length === 2 || refused.length === 3, String(refused.length))
  })
})

test('keys that were enrolled before there were halves are still known after the migration', async () => {
  const database = await testDatabase()
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sealwire-sql-'))
  try {
    const source = fileURLToPath(new URL('../../src/db/migrations/', import.meta.url))
    const files = readdirSync(source).filter((name) => name.endsWith('.sql'))
    const copy = (keep: (name: string) => boolean) => {
      for (const name of files.filter(keep)) cpSync(path.join(source, name), path.join(folder, name))
    }
    await database.db.query('drop schema public cascade')
    await database.db.query('create schema public')
    copy((name) => name < '0007')
    await migrate(database.connection, pathToFileURL(`${folder}/`))
    const key = newKey(ML_KEM_SUITE)
    const hash = provider.sha384(key)
    await database.db.query(`insert into tenants (id, name, sandbox, created_at) values ('ten_1', 'a', false, now())`)
    await database.db.query(
      `insert into api_keys (id, tenant_id, name, role, scopes, digest, pepper_id, created_at)
       values ('key_1', 'ten_1', 'a', 'editor', '{}', $1, 'pep_1', now())`,
      [new Uint8Array(64)],
    )
    await database.db.query(
      `insert into recipients (id, tenant_id, api_key_id, name, custody, suite, state, kem_key_id, kem_public_key,
         kem_hash, mac_key_id, created_at)
       values ('rcp_1', 'ten_1', 'key_1', 'a', 'client', $1, 'active', 'kem_1', $2, $3, 'mac_1', now())`,
      [ML_KEM_SUITE, key, hash],
    )
    copy((name) => name >= '0007')
    await migrate(database.connection, pathToFileURL(`${folder}/`))
    const { rows } = await database.db.query<{ hash: Buffer; recipient_id: string }>(
      'select hash, recipient_id from recipient_key_halves',
    )
    assert.deepEqual(
      rows.map((row) => [Buffer.from(row.hash).equals(Buffer.from(hash)), row.recipient_id]),
      [[true, 'rcp_1']],
    )
  } finally {
    rmSync(folder, { recursive: true })
    await database.drop()
  }
})
