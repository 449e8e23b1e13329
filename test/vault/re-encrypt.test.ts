import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { claimJob, LEASE_MS, savePage } from '#src/keys/job-store.ts'
import type { MoveOutcome } from '#src/keys/key-job.ts'
import { lockVaultKeys } from '#src/keys/rotate-vault-key.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import type { CustodyShare } from '#src/vault/custody.ts'
import { createKeyJobs } from '#src/vault/key-jobs.ts'
import { createVaultKeys } from '#src/vault/vault-keys.ts'
import { countByVaultKey } from '#src/vault/version-store.ts'
import { eventually } from '#test/audit/parts.ts'
import { sealedVault, values } from './sealed-vault.ts'

describe('vault key rotation and re-encryption', () => {
  const at = sealedVault()
  const { seal, tenantId } = at
  const vaultKeys = () => createVaultKeys(at.deployment)
  /** Runs the job of this test's tenant, if it is due. */
  async function runDue(onRow?: (name: string, outcome: MoveOutcome) => void): Promise<boolean> {
    const { job } = await vaultKeys().list(tenantId())
    assert.ok(job)
    return jobs(onRow).runDue(job.id)
  }
  const jobs = (onRow?: (name: string, outcome: MoveOutcome) => void) =>
    createKeyJobs({
      ...at.deployment,
      pause: async () => {},
      ...(onRow && { onRow: ({ name }, outcome) => onRow(name, outcome) }),
    })
  const rotate = () => vaultKeys().rotate(at.owner.caller)
  const counts = async () => countByVaultKey(at.deployment.db, tenantId())
  const countOf = async (keyId: string) => (await counts()).find((count) => count.keyId === keyId)?.live ?? 0
  const stateOf = async (keyId: string) =>
    (await vaultKeys().list(tenantId())).keys.find(({ id }) => id === keyId)?.state
  /** Runs until the job is done; moves the clock past what it waits for. */
  async function finish(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await runDue()
      if ((await vaultKeys().list(tenantId())).job?.state === 'done') return
      at.deployment.clock.advance(60_000)
    }
    assert.fail('the job is not done')
  }

  test('a rotation retires the key before it, and what is sealed from then on is under the new one, in every process', async () => {
    const first = await seal()
    const old = (await at.rowOf(first.id))['vault_key_id'] as unknown as string
    const { keyId, retiredKeyId } = await rotate()
    assert.equal(retiredKeyId, old)
    assert.deepEqual([await stateOf(old), await stateOf(keyId)], ['retired', 'active'])
    const [here, there] = [
      await seal(),
      await at.deployment.replica().vault.seal(at.owner.caller, { credentialType: 'custom_kv', values }),
    ]
    for (const { id } of [here, there]) assert.equal((await at.rowOf(id))['vault_key_id'] as unknown, keyId)
    assert.deepEqual((await at.deployment.vault.open(tenantId(), first.id)).values, values)
  })

  test('the job moves current and kept versions, all open afterwards, and the old private half is destroyed a minute later', async () => {
    const plain = await seal()
    const rotated = await seal({ values: { password: 'one' } })
    await at.deployment.vault.rotate(at.owner.caller, rotated.id, { password: 'two' })
    const gone = await seal()
    await at.deployment.vault.remove(at.owner.caller, gone.id)
    const { keyId, retiredKeyId } = await rotate()
    assert.ok(retiredKeyId)
    assert.equal(await countOf(retiredKeyId), 3)
    await runDue()
    assert.deepEqual(await counts(), [{ keyId, live: 3, inCustody: 0 }])
    assert.equal(await stateOf(retiredKeyId), 'retired')
    at.deployment.clock.advance(59_999)
    assert.equal(await runDue(), false)
    assert.equal(await stateOf(retiredKeyId), 'retired')
    at.deployment.clock.advance(1)
    await runDue()
    assert.equal(await stateOf(retiredKeyId), 'destroyed')
    const { rows } = await at.deployment.db.query('select wrapped from keys where id = $1', [retiredKeyId])
    assert.deepEqual(rows, [{ wrapped: null }])
    assert.deepEqual((await at.deployment.vault.open(tenantId(), plain.id)).values, values)
    assert.deepEqual((await at.deployment.replica().vault.open(tenantId(), rotated.id)).values, { password: 'two' })
    await at.deployment.db.query('update vault_entries set version = 1 where id = $1', [rotated.id])
    assert.deepEqual((await at.deployment.replica().vault.open(tenantId(), rotated.id)).values, { password: 'one' })
  })

  test('V7: counts by key version add up to all live records at every row of the job', async () => {
    for (let i = 0; i < 40; i++) await seal()
    const { keyId, retiredKeyId } = await rotate()
    const sums: Promise<number[]>[] = []
    const look = async () => {
      const found = await counts()
      return [found.reduce((sum, { live }) => sum + live, 0), found.find((one) => one.keyId === keyId)?.live ?? 0]
    }
    await runDue(() => sums.push(look()))
    const seen = await Promise.all(sums)
    assert.equal(seen.length, 40)
    for (const [sum] of seen) assert.equal(sum, 40)
    assert.ok(new Set(seen.map(([, moved]) => moved)).size > 5, 'every look saw the same')
    assert.equal(await countOf(retiredKeyId ?? ''), 0)
  })

  test('a record in split custody stays, is counted, and keeps the old key; it moves when its holder opens it', async () => {
    await seal()
    const held = await at.deployment.vault.seal(
      at.owner.caller,
      { credentialType: 'custom_kv', values },
      { enable: true },
    )
    assert.ok('custodyShare' in held)
    const share = held.custodyShare as CustodyShare
    const { keyId, retiredKeyId } = await rotate()
    assert.ok(retiredKeyId)
    await runDue()
    at.deployment.clock.advance(3_600_000)
    await runDue()
    assert.deepEqual(
      (await counts()).toSorted((a, b) => (a.keyId === keyId ? 1 : 0) - (b.keyId === keyId ? 1 : 0)),
      [
        { keyId: retiredKeyId, live: 1, inCustody: 1 },
        { keyId, live: 1, inCustody: 0 },
      ],
    )
    assert.equal(await stateOf(retiredKeyId), 'retired')
    assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, held.id, share)).values, values)
    assert.deepEqual(await counts(), [{ keyId, live: 2, inCustody: 1 }])
    at.deployment.clock.advance(600_000)
    await finish()
    assert.equal(await stateOf(retiredKeyId), 'destroyed')
    assert.deepEqual((await at.deployment.vault.unseal(at.owner.caller, held.id, share)).values, values)
  })

  test('a record that its holder never opens keeps its own key alone: others are destroyed, and rotation goes on', async () => {
    const held = await at.deployment.vault.seal(
      at.owner.caller,
      { credentialType: 'custom_kv', values },
      { enable: true },
    )
    const oldest = (await rotate()).retiredKeyId ?? ''
    for (let i = 0; i < 9; i++) {
      await seal()
      const { retiredKeyId } = await rotate()
      await runDue()
      at.deployment.clock.advance(60_000)
      await runDue()
      assert.deepEqual(await Promise.all([oldest, retiredKeyId ?? ''].map(stateOf)), ['retired', 'destroyed'])
    }
    await at.deployment.vault.unseal(at.owner.caller, held.id, held.custodyShare)
    at.deployment.clock.advance(600_000)
    await finish()
    assert.equal(await stateOf(oldest), 'destroyed')
  })

  test('a record that comes late to an old key has its own minute before that is destroyed', async () => {
    const { id } = await seal()
    const { keyId, retiredKeyId } = await rotate()
    await runDue()
    at.deployment.clock.advance(60_000)
    await at.deployment.db.query('update keys set state = $2 where id = $1', [keyId, 'next'])
    await at.deployment.db.query('update keys set state = $2 where id = $1', [retiredKeyId, 'active'])
    await seal()
    await at.deployment.db.query('update keys set state = $2 where id = $1', [retiredKeyId, 'retired'])
    await at.deployment.db.query('update keys set state = $2 where id = $1', [keyId, 'active'])
    assert.equal(await countOf(retiredKeyId ?? ''), 1)
    await runDue()
    assert.deepEqual([await countOf(keyId), await stateOf(retiredKeyId ?? '')], [2, 'retired'])
    at.deployment.clock.advance(60_000)
    await runDue()
    assert.equal(await stateOf(retiredKeyId ?? ''), 'destroyed')
    assert.deepEqual((await at.deployment.vault.open(tenantId(), id)).values, values)
  })

  for (const column of ['sealed', 'wrapped_share'] as const) {
    test(`V3: a record whose ${column} was changed is named and stays, its twins move, and once it is mended so does it`, async () => {
      const [victim, twin] = [await seal(), await seal()]
      const whole = (await at.rowOf(victim.id))[column]
      await at.deployment.db.query(
        `update vault_versions set ${column} = set_byte(${column}, 99, 255 - get_byte(${column}, 99)) where entry_id = $1`,
        [victim.id],
      )
      const { keyId, retiredKeyId } = await rotate()
      await runDue()
      const { job } = await vaultKeys().list(tenantId())
      assert.deepEqual(job?.unusable, [`${tenantId()}/${victim.id}/1`])
      assert.deepEqual([job?.state, job?.unusableCount], ['waiting', 1])
      assert.equal((await at.rowOf(twin.id))['vault_key_id'] as unknown, keyId)
      assert.equal(await stateOf(retiredKeyId ?? ''), 'retired')
      await at.deployment.db.query(`update vault_versions set ${column} = $2 where entry_id = $1`, [victim.id, whole])
      at.deployment.clock.advance(600_000)
      await finish()
      assert.deepEqual((await at.deployment.vault.open(tenantId(), victim.id)).values, values)
      assert.equal(await stateOf(retiredKeyId ?? ''), 'destroyed')
    })
  }

  test('with the key wrapper away the job stops, blames no record, and goes on afterwards', async () => {
    await seal()
    const { retiredKeyId } = await rotate()
    at.deployment.wrapper.down = true
    await assert.rejects(runDue(), { code: 'kms.unavailable' })
    at.deployment.wrapper.down = false
    const { job } = await vaultKeys().list(tenantId())
    assert.deepEqual([job?.unusableCount, job?.problem], [0, 'kms.unavailable'])
    assert.equal(await runDue(), false) // not before 5 s are over
    at.deployment.clock.advance(5_000)
    await finish()
    assert.equal(await stateOf(retiredKeyId ?? ''), 'destroyed')
  })

  test('with the audit log away nothing moves, and afterwards all does', async () => {
    const { id } = await seal()
    const { keyId, retiredKeyId } = await rotate()
    at.deployment.audit.failing = true
    await assert.rejects(runDue(), { code: 'audit.unavailable' })
    assert.equal((await at.rowOf(id))['vault_key_id'] as unknown, retiredKeyId)
    at.deployment.audit.failing = false
    at.deployment.clock.advance(5_000)
    await runDue()
    assert.equal((await at.rowOf(id))['vault_key_id'] as unknown, keyId)
  })

  test('V5: every request of the job to the key wrapper names tenant, entry and version', async () => {
    const { id } = await seal()
    await rotate()
    at.deployment.wrapper.calls.length = 0
    await runDue()
    const shares = at.deployment.wrapper.calls.filter(({ context }) => context.purpose === 'vault-share')
    assert.deepEqual(
      shares.map(({ method }) => method),
      ['unwrap', 'wrap'],
    )
    for (const { context } of shares) {
      assert.deepEqual(context, { tenant_id: tenantId(), entry_id: id, version: '1', purpose: 'vault-share' })
    }
  })

  test('a record that a writer changes while the job has it open stays as the writer left it', async () => {
    const { id } = await seal()
    await rotate()
    const wrapper: KeyWrapper = {
      ...at.deployment.wrapper,
      async wrap(...args) {
        await at.deployment.vault.rotate(at.owner.caller, id, { password: 'newer' })
        await at.deployment.vault.rotate(at.owner.caller, id, { password: 'newest' }) // shreds the version that is open
        return at.deployment.wrapper.wrap(...args)
      },
    }
    const { job } = await vaultKeys().list(tenantId())
    const seen: MoveOutcome[] = []
    const racing = createKeyJobs({
      ...at.deployment,
      wrapper,
      pause: async () => {},
      onRow: (_row, outcome) => seen.push(outcome),
    })
    await racing.runDue(job?.id)
    assert.deepEqual(seen, ['passed'])
    assert.deepEqual((await at.deployment.replica().vault.open(tenantId(), id)).values, { password: 'newest' })
    await finish()
  })

  test('a writer that sealed to the old key before the rotation and commits late keeps that key from being destroyed', async () => {
    const { id } = await seal()
    const { retiredKeyId } = await rotate()
    assert.ok(retiredKeyId)
    await runDue()
    at.deployment.clock.advance(60_000)
    let running: Promise<boolean> | undefined
    await at.deployment.db.transaction(async (tx) => {
      await at.deployment.tenantKeys.hold(tx, tenantId(), retiredKeyId)
      running = runDue()
      await eventually(async () => {
        const { rows } = await at.deployment.db.query('select 1 from pg_locks where not granted')
        return rows.length > 0 || undefined
      })
      await tx.query(
        `insert into vault_versions select tenant_id, entry_id, 99, credential_type, schema, custody, $2, kem_ciphertext,
           wrapped_share, share_kms_key_id, commitment, sealed, created_at from vault_versions where entry_id = $1`,
        [id, retiredKeyId],
      )
    })
    await running
    assert.equal(await stateOf(retiredKeyId), 'retired')
    await at.deployment.db.query('delete from vault_versions where version = 99')
    at.deployment.clock.advance(600_000)
    await finish()
    assert.equal(await stateOf(retiredKeyId), 'destroyed')
    await assert.rejects(
      at.deployment.db.transaction((tx) => at.deployment.tenantKeys.hold(tx, tenantId(), retiredKeyId)),
      { code: 'vault.unavailable' },
    )
  })

  test('one process at a time works on a job; another takes it over once the lease has run out', async () => {
    await seal()
    await rotate()
    const { job } = await vaultKeys().list(tenantId())
    assert.ok(job)
    const now = () => new Date(at.deployment.clock.now())
    assert.equal((await claimJob(at.deployment.db, 'killed', now(), job.id))?.id, job.id)
    assert.equal(await runDue(), false)
    at.deployment.clock.advance(LEASE_MS - 1)
    assert.equal(await runDue(), false)
    at.deployment.clock.advance(1)
    assert.equal(await runDue(), true)
    const late = { cursor: 'records:x', moved: 1, unusable: [] }
    assert.equal(await savePage(at.deployment.db, 'killed', job, late, now()), undefined)
  })

  test('two processes that work on one job at once move every record once, and both end', async () => {
    for (let i = 0; i < 40; i++) await seal()
    const { keyId } = await rotate()
    const { job } = await vaultKeys().list(tenantId())
    let taken: Promise<boolean> | undefined
    const wrapper: KeyWrapper = {
      ...at.deployment.wrapper,
      async wrap(...args) {
        if (!taken) {
          at.deployment.clock.advance(LEASE_MS) // it was stopped for so long, with records open
          taken = jobs().runDue(job?.id)
        }
        await taken
        return at.deployment.wrapper.wrap(...args)
      },
    }
    const seen: MoveOutcome[] = []
    const slow = createKeyJobs({ ...at.deployment, wrapper, onRow: (_row, outcome) => seen.push(outcome) })
    assert.equal(await slow.runDue(job?.id), true)
    assert.ok(seen.length >= 4 && seen.every((outcome) => outcome === 'passed'), String(seen))
    assert.deepEqual(await counts(), [{ keyId, live: 40, inCustody: 0 }])
    const moves = at.deployment.audit.events.filter(
      (event) => event.tenantId === tenantId() && event.action === 'vault.reencrypt',
    )
    assert.equal(moves.length, 40)
    assert.equal(new Set(moves.map(({ object }) => object?.id)).size, 40)
    assert.equal((await vaultKeys().list(tenantId())).job?.moved, 40)
    await finish()
  })

  test('a second rotation during the job moves everything to the newest key, and both old ones are destroyed', async () => {
    const { id } = await seal()
    const first = await rotate()
    const second = await rotate()
    assert.equal(second.retiredKeyId, first.keyId)
    await finish()
    assert.equal((await at.rowOf(id))['vault_key_id'] as unknown, second.keyId)
    assert.deepEqual(await Promise.all([first.retiredKeyId ?? '', first.keyId, second.keyId].map(stateOf)), [
      'destroyed',
      'destroyed',
      'active',
    ])
  })

  test('rotations that race leave one active key; eight old keys are the most', async () => {
    await seal()
    await Promise.all([1, 2, 3, 4].map(rotate))
    assert.equal((await vaultKeys().list(tenantId())).keys.filter(({ state }) => state === 'active').length, 1)
    for (let i = 0; i < 4; i++) await rotate()
    await assert.rejects(rotate(), { code: 'object.in_use' })
    await finish()
    await rotate()
  })

  test('rotations wait for one another, also when a key made meanwhile comes first in the order of ids', async () => {
    await seal()
    const { db } = at.deployment
    let second: Promise<unknown> | undefined
    await db.transaction(async (tx) => {
      await lockVaultKeys(tx, tenantId())
      await db.query(
        `insert into keys (id, tenant_id, purpose, state, kms_key_id, created_at, not_before)
         values ('kem_0', $1, 'vault-key', 'retired', 'local', now(), now())`,
        [tenantId()],
      )
      second = db.transaction((other) => lockVaultKeys(other, tenantId()))
      await eventually(async () => {
        const { rows } = await db.query('select 1 from pg_locks where not granted')
        return rows.length > 0 || undefined
      })
      await tx.query(`update keys set state_since = now() where id = 'kem_0'`)
    })
    await second
  })

  test('each move is on record with the SHA-384 before and after, the rotation with its key, the end with the old one', async () => {
    const { id } = await seal()
    const { keyId, retiredKeyId } = await rotate()
    await finish()
    const own = at.deployment.audit.events.filter((event) => event.tenantId === tenantId())
    const moved = own.find(({ action, object }) => action === 'vault.reencrypt' && object?.id === id)
    assert.deepEqual(
      [moved?.actor.id, moved?.detail?.['current'], moved?.detail?.['vault_key_id']],
      ['system', true, keyId],
    )
    const sealed = own.find(({ action, object }) => action === 'vault.seal' && object?.id === id)
    assert.equal(moved?.detail?.['previous_sha384'], sealed?.detail?.['record_sha384'])
    assert.deepEqual(
      own.filter(({ action }) => action.startsWith('tenant_keys.')).map(({ action, object }) => [action, object?.id]),
      [
        ['tenant_keys.rotate', keyId],
        ['tenant_keys.destroy', retiredKeyId],
      ],
    )
  })
})
