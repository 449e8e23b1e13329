import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { AppError } from '#src/core/errors.ts'
import { NO_TENANT } from '#src/core/ids.ts'
import { openKeyDocument } from '#src/envelope/key-document.ts'
import type { DeploymentKeys } from '#src/keys/deployment-keys.ts'
import type { KeyOperations } from '#src/keys/key-operations.ts'
import { type TestDeployment, testDeployment } from '#test/support/deployment.ts'
import { everyKey, followingKeys, keyOperationsOf } from '#test/support/key-operations.ts'

const second = 1000

describe('rotation of published keys', () => {
  let deployment: TestDeployment
  let operations: KeyOperations
  let here: DeploymentKeys
  let there: DeploymentKeys
  beforeEach(async () => {
    deployment = await testDeployment()
    operations = keyOperationsOf(deployment)
    deployment.clock.advance(1000) // what is made now comes after what the start made
    here = await followingKeys(deployment)
    there = await followingKeys(deployment)
  })
  afterEach(async () => {
    here.close()
    there.close()
    await deployment.drop()
  })

  /** Both processes have read what was announced. */
  async function heard(): Promise<void> {
    await Promise.all([here.reload(), there.reload()])
  }
  const statesOf = async (purpose: string) => {
    const { rows } = await deployment.db.query<{ id: string; state: string; has: boolean; not_after: Date | null }>(
      `select id, state, wrapped is not null as has, not_after from keys where purpose = $1 order by created_at, id`,
      [purpose],
    )
    return rows
  }
  const openHere = async (keys: DeploymentKeys) =>
    openKeyDocument(deployment.provider, await keys.document(), keys.rootFingerprint, deployment.clock.now() / second)
  const actions = () => deployment.audit.events.map(({ action, object }) => `${action} ${object?.id}`)

  for (const { purpose, active } of [
    { purpose: 'issuer-key', active: (keys: DeploymentKeys) => keys.issuer },
    { purpose: 'audit-key', active: (keys: DeploymentKeys) => keys.auditKey },
  ] as const) {
    test(`${purpose}: published as next, activated only after cached documents have expired, then the old one is destroyed`, async () => {
      const old = active(here).keyId
      const published = await operations.rotate(purpose)
      assert.equal(published.step, 'published')
      await heard()
      for (const keys of [here, there]) {
        assert.equal(active(keys).keyId, old, 'the old key signs on')
        const key = (await openHere(keys)).get(published.keyId)
        assert.equal(key?.state, 'next')
        assert.equal(key?.use, purpose === 'audit-key' ? 'audit' : 'envelope-v2')
        assert.equal(key?.notBefore, Math.floor(deployment.clock.now() / second), 'valid from when it was published')
      }

      deployment.clock.advance(360 * second - 1)
      assert.equal(await operations.upkeep(everyKey), 0)
      assert.deepEqual(await operations.rotate(purpose), { ...published, step: 'waiting' })
      await heard()
      assert.equal(active(there).keyId, old, 'one millisecond early is early')

      deployment.clock.advance(1)
      assert.equal(await operations.upkeep(everyKey), 1)
      await heard()
      for (const keys of [here, there]) {
        assert.equal(active(keys).keyId, published.keyId)
        const document = await openHere(keys)
        assert.equal(document.get(published.keyId)?.state, 'active')
        assert.equal(document.get(old)?.state, 'retired')
        assert.equal(document.get(old)?.notAfter, Math.floor((deployment.clock.now() + 60 * second) / second))
      }

      deployment.clock.advance(60 * second)
      assert.equal(await operations.upkeep(everyKey), 0, 'what it sealed may still wait for its signature')
      deployment.clock.advance(1)
      assert.equal(await operations.upkeep(everyKey), 1)
      const [first, next] = await statesOf(purpose)
      assert.deepEqual([first?.state, first?.has, next?.state, next?.has], ['destroyed', false, 'active', true])
      await heard()
      assert.equal((await openHere(there)).get(old)?.state, 'retired', 'its public half stays, and verifies')

      assert.deepEqual(actions(), [
        `keys.publish ${published.keyId}`,
        `keys.retire ${old}`,
        `keys.activate ${published.keyId}`,
        `keys.destroy ${old}`,
      ])
      assert.ok(deployment.audit.events.every(({ tenantId }) => tenantId === NO_TENANT))
      assert.deepEqual(
        deployment.audit.events.map(({ actor }) => actor.id),
        ['operator', 'system', 'system', 'system'],
      )
    })
  }

  test('a server that cannot open a published key does not activate it', async () => {
    const old = here.issuer.keyId
    deployment.wrapper.unwrap = () => Promise.reject(new AppError('kms.unavailable', 'This server may not decrypt.'))
    const { keyId } = await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    await heard()
    assert.equal(await operations.upkeep(here.isOpen), 0)
    assert.equal(here.issuer.keyId, old)
    assert.equal(await operations.upkeep((id) => id === keyId), 1, 'one that can does')
  })

  test('the second call of the command activates by hand, after the same wait', async () => {
    const { keyId } = await operations.rotate('issuer-key')
    const old = here.issuer.keyId
    deployment.clock.advance(360 * second)
    assert.deepEqual(
      { ...(await operations.rotate('issuer-key')), activeFrom: 0 },
      { step: 'activated', keyId, activeFrom: 0, replacedId: old, isInDocument: true },
    )
    await heard()
    assert.equal(there.issuer.keyId, keyId)
  })

  test('two operators at the same time publish one key', async () => {
    const steps = await Promise.all([operations.rotate('issuer-key'), keyOperationsOf(deployment).rotate('issuer-key')])
    assert.deepEqual(steps.map(({ step }) => step).sort(), ['published', 'waiting'])
    assert.equal(steps[0]?.keyId, steps[1]?.keyId)
    assert.equal((await statesOf('issuer-key')).length, 2)
  })

  test('two servers whose upkeep comes at the same time activate one key, once', async () => {
    await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    const moved = await Promise.all([operations.upkeep(everyKey), keyOperationsOf(deployment).upkeep(everyKey)])
    assert.deepEqual(moved.sort(), [0, 1])
    assert.equal(actions().filter((action) => action.startsWith('keys.activate')).length, 1)
  })

  test('a rotation that cannot be audited changes nothing', async () => {
    deployment.audit.failing = true
    await assert.rejects(operations.rotate('issuer-key'), { code: 'audit.unavailable' })
    assert.equal((await statesOf('issuer-key')).length, 1)
    deployment.audit.failing = false
    await operations.rotate('issuer-key')
    deployment.audit.failing = true
    deployment.clock.advance(360 * second)
    await assert.rejects(operations.upkeep(everyKey), { code: 'audit.unavailable' })
    assert.deepEqual(
      (await statesOf('issuer-key')).map(({ state }) => state),
      ['active', 'next'],
    )
  })

  test('a revoked issuer is out of use at once, for good, and a successor signs without a wait', async () => {
    const old = here.issuer.keyId
    const { successorId, isInDocument } = await operations.revoke(old)
    assert.ok(successorId && isInDocument)
    await heard()
    for (const keys of [here, there]) {
      assert.equal(keys.issuer.keyId, successorId)
      assert.equal(keys.issuers().get(old)?.state, 'revoked')
      const document = await openHere(keys)
      assert.equal(document.get(old)?.state, 'revoked')
      const successor = document.get(successorId)
      assert.equal(successor?.state, 'active')
      assert.ok((successor?.notBefore ?? 0) <= deployment.clock.now() / second - 60, 'a replica may be a minute behind')
    }
    const [row] = await statesOf('issuer-key')
    assert.deepEqual([row?.state, row?.has], ['revoked', false])
    deployment.clock.advance(86_400 * second)
    assert.equal(await operations.upkeep(everyKey), 0)
    await assert.rejects(operations.destroy(old), { code: 'precondition.failed' })
    await assert.rejects(operations.revoke(old), { code: 'precondition.failed', message: /is revoked/ })
    assert.deepEqual(actions(), [`keys.revoke ${old}`, `keys.create ${successorId}`])
  })

  test('a revoked issuer is followed by the key that is published already, if there is one', async () => {
    const { keyId } = await operations.rotate('issuer-key')
    const { successorId } = await operations.revoke(here.issuer.keyId)
    assert.equal(successorId, keyId)
    assert.equal((await statesOf('issuer-key')).length, 2)
  })

  test('a retired key, destroyed or not, and a published one can be revoked; the issuer in use stays', async () => {
    const first = here.issuer.keyId
    const { keyId } = await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    await operations.upkeep(everyKey)
    deployment.clock.advance(61 * second)
    await operations.upkeep(everyKey)
    await operations.revoke(first)
    const waiting = await operations.rotate('issuer-key')
    await operations.revoke(waiting.keyId)
    await heard()
    assert.equal(there.issuer.keyId, keyId)
    const document = await openHere(there)
    assert.equal(document.get(first)?.state, 'revoked')
    assert.equal(document.get(waiting.keyId)?.state, 'revoked')
    assert.equal((await operations.rotate('issuer-key')).step, 'published', 'and a new rotation can begin')
  })

  test('while the KMS is away a revoked key is not used, though its successor does not open; it is once the KMS is back', async () => {
    const old = here.issuer.keyId
    await operations.revoke(old)
    deployment.wrapper.down = true
    await assert.rejects(there.reload(), { code: 'kms.unavailable' })
    assert.throws(() => there.issuer, { code: 'kms.unavailable' })
    assert.equal(there.issuers().get(old)?.state, 'revoked')
    assert.ok(there.pepper.id && there.cursor.id, 'the other keys stay')
    deployment.wrapper.down = false
    await there.reload()
    assert.notEqual(there.issuer.keyId, old)
  })

  test('while the KMS is away a rotated key that did not open leaves the one before in use', async () => {
    const old = here.issuer.keyId
    deployment.feed.live = false
    here.close()
    there.close()
    await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    await operations.upkeep(everyKey)
    deployment.wrapper.down = true
    await assert.rejects(deployment.keys.reload(), { code: 'kms.unavailable' })
    assert.equal(deployment.keys.issuer.keyId, old)
    deployment.wrapper.down = false
    await deployment.keys.reload()
    assert.notEqual(deployment.keys.issuer.keyId, old)
  })

  test('but only until its window closes: readers refuse what it would seal after that', async () => {
    const old = here.issuer.keyId
    here.close()
    there.close()
    await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    await operations.upkeep(everyKey)
    deployment.wrapper.down = true
    deployment.clock.advance(58 * second)
    await assert.rejects(deployment.keys.reload(), { code: 'kms.unavailable' })
    assert.equal(deployment.keys.issuer.keyId, old)
    deployment.clock.advance(2 * second)
    await assert.rejects(deployment.keys.reload(), { code: 'kms.unavailable' })
    assert.throws(() => deployment.keys.issuer, { code: 'kms.unavailable' })
  })

  test('only issuer and audit keys can be revoked; an id that is not there is not found', async () => {
    await assert.rejects(operations.revoke(here.pepper.id), { code: 'precondition.failed', message: /Rotate it/ })
    await assert.rejects(operations.revoke('sig_nobody'), { code: 'object.not_found' })
    await assert.rejects(operations.destroy('sig_nobody'), { code: 'object.not_found' })
    await assert.rejects(operations.destroy(here.issuer.keyId), {
      code: 'precondition.failed',
      message: /Rotate it first/,
    })
  })

  test('what cannot be destroyed or revoked says why, and what to do instead, if there is anything', async () => {
    const rows = await operations.list()
    const idOf = (purpose: string) => rows.find((row) => row.purpose === purpose)?.id ?? ''
    const { keyId: next } = await operations.rotate('issuer-key')
    const precondition = (message: RegExp) => ({ code: 'precondition.failed', message })
    for (const purpose of ['canary', 'audit-head-key']) {
      await assert.rejects(operations.destroy(idOf(purpose)), precondition(/stays for the life of the database/))
      await assert.rejects(operations.revoke(idOf(purpose)), precondition(/from the key document\.$/))
    }
    await assert.rejects(
      operations.destroy(next),
      precondition(new RegExp(`take it back: sealwire keys revoke ${next}`)),
    )
    await operations.revoke(next)
    await assert.rejects(operations.revoke(next), precondition(/is revoked already/))
    const { replacedId } = await operations.replace('cursor-key')
    await assert.rejects(operations.destroy(replacedId), precondition(/destroyed already/))
  })

  test('a retired issuer cannot be destroyed while its signatures may wait', async () => {
    const old = here.issuer.keyId
    await operations.rotate('issuer-key')
    deployment.clock.advance(360 * second)
    await operations.upkeep(everyKey)
    await assert.rejects(operations.destroy(old), { code: 'precondition.failed', message: /may still wait/ })
    deployment.clock.advance(61 * second)
    await operations.destroy(old)
  })

  test('cursor keys are replaced at once', async () => {
    const old = here.cursor.id
    const { keyId, replacedId } = await operations.replace('cursor-key')
    assert.equal(replacedId, old)
    await heard()
    assert.equal(there.cursor.id, keyId)
    assert.deepEqual(
      (await statesOf('cursor-key')).map(({ state, has }) => [state, has]),
      [
        ['destroyed', false],
        ['active', true],
      ],
    )
  })

  test('the list names each key with state, since, KMS key, and what depends on it', async () => {
    await deployment.tenant()
    await operations.rotate('issuer-key')
    const listed = await operations.list()
    assert.equal(listed.length, 8)
    const next = listed.find(({ state }) => state === 'next')
    assert.equal(next?.purpose, 'issuer-key')
    assert.equal(next?.activeFrom?.getTime(), deployment.clock.now() + 360 * second)
    assert.deepEqual(listed.find(({ purpose }) => purpose === 'api-key-pepper')?.counts, {
      api_keys: 1,
      ended_api_keys: 0,
    })
    for (const { kmsKeyId, privateHalf } of listed) {
      assert.equal(kmsKeyId, deployment.wrapper.defaultKeyId)
      assert.equal(privateHalf, 'here')
    }
  })
})

describe('an audit key for a database of before', () => {
  let deployment: TestDeployment
  before(async () => {
    deployment = await testDeployment()
  })
  after(() => deployment.drop())

  test('is made once, by whichever process comes first, and audited', async () => {
    const { ensureAuditKey } = await import('#src/keys/key-operations.ts')
    await deployment.db.query(`delete from keys where purpose = 'audit-key'`)
    const keys = await followingKeys(deployment)
    assert.throws(() => keys.auditKey, { code: 'kms.unavailable' })
    await Promise.all([ensureAuditKey(deployment), ensureAuditKey(deployment)])
    assert.equal(await ensureAuditKey(deployment), false)
    await keys.reload()
    assert.deepEqual(
      deployment.audit.events.map(({ action, object, actor }) => [action, object?.id, actor.id]),
      [['keys.create', keys.auditKey.keyId, 'system']],
    )
    keys.close()
  })
})
