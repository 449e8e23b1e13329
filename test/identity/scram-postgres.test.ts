import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { copyBytes } from '#src/core/bytes.ts'
import { createScramVerifier, formatScramVerifier, parseScramVerifier } from '#src/identity/scram/verifier.ts'
import { testDatabase } from '#test/support/database.ts'

test('SCRAM: PostgreSQL makes the same verifiers of passwords, and takes ours for one', async (t) => {
  const database = await testDatabase()
  t.after(() => database.drop())
  const role = `scram_${randomBytes(6).toString('hex')}`
  const storedFor = async (password: string): Promise<string> => {
    await database.db.query(`CREATE ROLE ${role} PASSWORD '${password}'`)
    const { rows } = await database.db.query<{ rolpassword: string }>(
      'SELECT rolpassword FROM pg_authid WHERE rolname = $1',
      [role],
    )
    await database.db.query(`DROP ROLE ${role}`)
    return rows[0]?.rolpassword ?? assert.fail('no role')
  }
  for (const password of ['pencil', 'p\u00e4ssword', 'I\u00adX', '\u2168\u00a0\uff15', 'x'.repeat(200)]) {
    const stored = await storedFor(password)
    const verifier = parseScramVerifier(stored) ?? assert.fail('not in the form that is read')
    assert.equal(verifier.iterations, 4_096)
    assert.deepEqual(await createScramVerifier('SCRAM-SHA-256', password, verifier), verifier, password)
  }
  const salt = copyBytes(randomBytes(16))
  const ours = await createScramVerifier('SCRAM-SHA-256', 'pencil', { salt, iterations: 12_345 })
  const text = formatScramVerifier(ours ?? assert.fail())
  assert.equal(await storedFor(text), text, 'kept as it is, not hashed as if it were a password')
})
