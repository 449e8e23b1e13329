import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError } from '#src/core/errors.ts'
import type { Log } from '#src/core/log.ts'
import { silentLog } from '#src/core/log.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import { type DeploymentKeys, openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import { createFollower } from '#src/keys/follow-changes.ts'
import type { KeyOperations } from '#src/keys/key-operations.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { createAuthenticate } from '#src/tenants/authenticate.ts'
import { localFeed, type TestDeployment, testDeployment } from '#test/support/deployment.ts'
import { everyKey, keyOperationsOf } from '#test/support/key-operations.ts'

describe('another process', () => {
  let deployment: TestDeployment
  let operations: KeyOperations
  let keys: DeploymentKeys
  /** Unlike a feed in memory, it announces with the commit. */
  let feed: ChangeFeed
  beforeEach(async () => {
    deployment = await testDeployment()
    feed = await createChangeFeed(deployment.connection)
    operations = keyOperationsOf({ ...deployment, feed })
    keys = await openDeploymentKeys(deployment)
  })
  afterEach(async () => {
    keys.close()
    await feed.close()
    await deployment.drop()
  })

  /** Asserts that something becomes so within a second, the promise of the change feed. */
  async function becomesWithinASecond(is: () => boolean, what: string): Promise<void> {
    for (const end = performance.now() + 1000; !is(); await nextTurn()) assert.ok(performance.now() < end, what)
  }
  const signsWith = (keyId: string | null) => () => {
    try {
      return keys.issuer.keyId === keyId
    } catch {
      return keyId === null // no issuer is in use
    }
  }

  test('hears of a revocation through PostgreSQL within a second', async () => {
    keys.follow(feed, silentLog)
    const { successorId } = await operations.revoke(keys.issuer.keyId)
    await becomesWithinASecond(signsWith(successorId), 'the revoked key is still in use')
  })

  test('that began to listen after a revocation, and read the keys before it, learns of it all the same', async () => {
    const heard = new Promise((resolve) => feed.on('deployment_key', resolve))
    const { successorId } = await operations.revoke(keys.issuer.keyId)
    await heard
    keys.follow(feed, silentLog)
    await becomesWithinASecond(signsWith(successorId), 'the revoked key is still in use')
  })

  test('that cannot hear anything asks by itself, until it can hear again', async () => {
    const deaf = localFeed()
    keys.follow(deaf, silentLog)
    deaf.live = false
    deaf.send('deployment_key', undefined)
    const { successorId } = await operations.revoke(keys.issuer.keyId)
    await becomesWithinASecond(signsWith(successorId), 'the revoked key is still in use')
  })

  test('whose KMS is away stops using a revoked key, warns, and uses the successor as soon as it opens', async () => {
    const warnings: object[] = []
    const log: Log = { ...silentLog, warn: (fields) => void warnings.push(fields) }
    keys.follow(feed, log)
    const { wrapper } = deployment
    const { unwrap } = wrapper
    wrapper.unwrap = () => {
      wrapper.down = true
      return unwrap('', new Uint8Array(), { tenant_id: '-', purpose: 'issuer-key' })
    }
    const { successorId } = await operations.revoke(keys.issuer.keyId)
    await becomesWithinASecond(signsWith(null), 'the revoked key is still in use')
    await becomesWithinASecond(() => warnings.length > 0, 'nobody was told')
    assert.deepEqual(warnings[0], { code: 'kms.unavailable' })
    wrapper.unwrap = unwrap
    wrapper.down = false
    await becomesWithinASecond(signsWith(successorId), 'the successor is not in use')
  })

  test('whose KMS does not open a retired pepper starts, says so, and does not call an API key under it wrong', async () => {
    const { ownerKey, principal } = await deployment.tenant()
    const { replacedId } = await operations.replace('api-key-pepper')
    let isAway = true
    const { wrapper } = deployment
    const unwrap: KeyWrapper['unwrap'] = async (keyId, wrapped, context) => {
      if (isAway && context['key_id'] === replacedId) throw new AppError('kms.unavailable', 'The key wrapper is away.')
      return wrapper.unwrap(keyId, wrapped, context)
    }
    keys.close()
    keys = await openDeploymentKeys({ ...deployment, wrapper: { ...wrapper, unwrap } })
    const warnings: object[] = []
    keys.follow(feed, { ...silentLog, warn: (fields) => void warnings.push(fields) })
    await becomesWithinASecond(() => warnings.length > 0, 'nobody was told')
    assert.deepEqual(warnings, [{ keys: [replacedId] }])
    const authenticate = createAuthenticate({ ...deployment, peppers: keys.peppers })
    await assert.rejects(authenticate(ownerKey, '192.0.2.1'), { code: 'kms.unavailable' })
    isAway = false
    await keys.reload()
    assert.equal((await authenticate(ownerKey, '192.0.2.1')).keyId, principal.keyId)
    await authenticate.settled()
  })

  test('whose KMS does not answer stops using a revoked key all the same', async () => {
    const hanging = Promise.withResolvers<never>()
    const slow: KeyWrapper = { ...deployment.wrapper, unwrap: deployment.wrapper.unwrap }
    const own = await openDeploymentKeys({ ...deployment, wrapper: slow })
    slow.unwrap = () => hanging.promise
    own.follow(feed, silentLog)
    keys.close()
    keys = own
    await operations.revoke(own.issuer.keyId)
    await becomesWithinASecond(signsWith(null), 'the revoked key is still in use')
    assert.equal((await own.document()).keys.length, 3, 'and its document says so')
    hanging.reject(new Error('gone'))
  })

  test('loads the next key before it is in use: activation needs no KMS', async () => {
    keys.follow(feed, silentLog)
    const { keyId } = await operations.rotate('issuer-key')
    await keys.reload()
    deployment.wrapper.down = true
    deployment.clock.advance(360_000)
    await operations.upkeep(everyKey)
    await becomesWithinASecond(signsWith(keyId), 'the key that was published is not in use')
  })

  test('asks the KMS for nothing that it holds already', async () => {
    await keys.reload()
    const before = deployment.wrapper.calls.length
    await Promise.all([keys.reload(), keys.reload(), keys.reload()])
    assert.equal(deployment.wrapper.calls.length, before)
  })
})

test('a reload that fails is tried twice a second and said once; keys that are not in use are asked for less often', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const said: object[] = []
  const log: Log = { ...silentLog, warn: (fields) => void said.push(fields) }
  const state = { loads: 0, isDown: true, failed: [] as string[] }
  const follower = createFollower({
    async refresh() {
      state.loads++
      if (state.isDown) throw new AppError('database.unavailable', 'The database does not answer.')
    },
    unopened: () => ({ failed: state.failed, isOpening: false }),
  })
  const loadsAfter = async (ms: number) => {
    t.mock.timers.tick(ms)
    await nextTurn()
    return state.loads
  }
  follower.follow(localFeed(), log)
  await nextTurn()
  assert.deepEqual([await loadsAfter(499), await loadsAfter(1), await loadsAfter(500)], [1, 2, 3])
  assert.deepEqual(said, [{ code: 'database.unavailable' }])
  Object.assign(state, { isDown: false, failed: ['pep_old'] })
  assert.deepEqual([await loadsAfter(500), await loadsAfter(4999), await loadsAfter(1)], [4, 4, 5])
  assert.deepEqual(said.slice(1), [{ keys: ['pep_old'] }])
  state.failed = []
  assert.deepEqual([await loadsAfter(5000), await loadsAfter(60_000)], [6, 6])
  follower.close()
})
