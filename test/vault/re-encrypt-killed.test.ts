import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Caller } from '#src/audit/audit.ts'
import { createAuditReader } from '#src/audit/reader.ts'
import { LEASE_MS } from '#src/keys/job-store.ts'
import { createCheckRecords } from '#src/vault/check-records.ts'
import { SETTLE_MS } from '#src/vault/key-plans.ts'
import { createKmsRewrap } from '#src/vault/kms-rewrap.ts'
import { countByVaultKey } from '#src/vault/version-store.ts'
import { type TestDatabase, testDatabase } from '#test/support/database.ts'
import { openParts, type Parts, type Place, placeOf } from './key-job-parts.ts'
import type { KilledJob } from './killed-job.ts'

const ENTRIES = 30
const MOMENTS = ['after the commit', 'before the commit'] as const
const KILL_AT = 7
const RUNS_MAX = 60

/** Runs the job in a process of its own; resolves with the signal that ended it. */
async function runChild(options: KilledJob): Promise<string | null> {
  const program = fileURLToPath(new URL('./killed-job.ts', import.meta.url))
  const args = process.execArgv.filter((arg) => arg !== '--test')
  const child = spawn(process.execPath, [...args, program, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (signal === null) assert.equal(code, 0)
  return signal
}

describe(`V7: jobs killed with kill -9 at every ${KILL_AT}th row, after its commit and before it in turn`, () => {
  let database: TestDatabase
  let folder: string
  let place: Place
  let parts: Parts
  let caller: Caller
  const expected = new Map<string, unknown>()

  before(async () => {
    ;[database, folder] = await Promise.all([testDatabase(), mkdtemp(path.join(tmpdir(), 'sealwire-jobs-'))])
    place = placeOf(database.connection, path.join(folder, 'local-kms.json'))
    parts = await openParts(place)
    const { tenantId, keyId } = await parts.tenants.create({ name: 'plant' })
    caller = { tenantId, actor: { id: keyId }, requestId: 'req_test' }
    for (let i = 0; i < ENTRIES; i++) {
      const values = { password: `secret ${i}` }
      const { id } = await parts.vault.seal(
        { ...caller, requestId: `req_${i}` },
        { credentialType: 'custom_kv', values },
      )
      expected.set(id, values)
      if (i % 5 !== 0) continue
      expected.set(id, { password: `newer ${i}` })
      await parts.vault.rotate({ ...caller, requestId: `req_r${i}` }, id, { password: `newer ${i}` })
    }
    for (let i = 0; i < 10; i++) {
      const { stored } = await parts.tenantKeys.newMacKey(tenantId)
      await parts.tenantKeys.insert(parts.db, stored)
    }
  })
  after(async () => {
    await parts.close()
    await database.drop()
    await rm(folder, { recursive: true })
  })

  async function assertWhole(): Promise<void> {
    const fresh = await openParts(place)
    try {
      for (const [id, values] of expected) {
        assert.deepEqual((await fresh.vault.open(caller.tenantId, id)).values, values)
      }
      const reader = createAuditReader({ ...fresh, headKey: parts.headKey })
      assert.equal((await reader.verify(caller.tenantId)).ok, true)
      assert.deepEqual(await createCheckRecords({ ...fresh, vaultWrites: reader.vaultWrites })(caller.tenantId), [])
      const total = (await countByVaultKey(fresh.db, caller.tenantId)).reduce((sum, { live }) => sum + live, 0)
      assert.equal(total, ENTRIES + ENTRIES / 5)
    } finally {
      await fresh.close()
    }
  }

  /** Restarts the job until it is not killed any more; every credential opens and every count adds up after each kill. */
  async function runUntilDone(jobId: string): Promise<number> {
    for (let run = 0; run < RUNS_MAX; run++) {
      place.aheadMs += LEASE_MS
      const moment = MOMENTS[run % 2] ?? 'after the commit'
      const signal = await runChild({ ...place, jobId, killAt: KILL_AT, moment })
      await assertWhole()
      if (signal === null) return run
      assert.equal(signal, 'SIGKILL')
    }
    assert.fail('the job does not get on')
  }

  test('re-encryption: nothing is lost, and the old key is destroyed in the end', async () => {
    const { keyId, retiredKeyId } = await parts.vaultKeys.rotate(caller)
    const job = (await parts.vaultKeys.list(caller.tenantId)).job
    assert.ok(job && retiredKeyId)
    const kills = await runUntilDone(job.id)
    assert.ok(kills >= Math.floor((ENTRIES + ENTRIES / 5) / (KILL_AT + 4)), `killed only ${kills} times`)
    assert.deepEqual(await countByVaultKey(parts.db, caller.tenantId), [
      { keyId, live: ENTRIES + ENTRIES / 5, inCustody: 0 },
    ])
    place.aheadMs += SETTLE_MS
    assert.equal(await runChild({ ...place, jobId: job.id, killAt: KILL_AT, moment: MOMENTS[0] }), null)
    const { keys, job: ended } = await parts.vaultKeys.list(caller.tenantId)
    assert.equal(keys.find(({ id }) => id === retiredKeyId)?.state, 'destroyed')
    assert.equal(ended?.state, 'done')
    await assertWhole()
  })

  test('re-wrap under a new KMS key: every wrap moves, everything opens, and the old key can go', async () => {
    const rewrap = createKmsRewrap({ ...parts, clock: { ...parts.clock, now: () => Date.now() + place.aheadMs } })
    const old = parts.wrapper.defaultKeyId
    const job = await rewrap.begin({ to: 'local-next' })
    assert.equal(parts.wrapper.defaultKeyId, 'local-next')
    const before = (await rewrap.uses()).reduce((sum, { keys, shares }) => sum + keys + shares, 0)
    const kills = await runUntilDone(job.id)
    assert.ok(kills >= Math.floor(before / (KILL_AT + 4)), `killed only ${kills} times`)
    assert.equal((await rewrap.find())?.state, 'done')
    const uses = await rewrap.uses()
    assert.deepEqual(
      new Map(uses.map(({ kmsKeyId, keys, shares }) => [kmsKeyId, keys + shares])),
      new Map([
        [old, 0],
        ['local-next', before],
      ]),
    )
    await assert.rejects(rewrap.removeKey(old), { code: 'object.in_use' }) // requests may be on their way
    place.aheadMs += 60_001
    await rewrap.removeKey(old)
    assert.deepEqual(parts.wrapper.ring?.ids(), ['local-next'])
    await assertWhole()
  })
})
