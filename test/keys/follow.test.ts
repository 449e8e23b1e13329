import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Log } from '#src/core/log.ts'
import { silentLog } from '#src/core/log.ts'
import { type ChangeFeed, createChangeFeed } from '#src/db/change-feed.ts'
import { type DeploymentKeys, openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import type { KeyOperations } from '#src/keys/key-operations.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { localFeed, type TestDeployment, testDeployment } from '#test/support/deployment.ts'
import { keyOperationsOf } from '#test/support/key-operations.ts'

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
    await operations.upkeep()
    await becomesWithinASecond(signsWith(keyId), 'the key that was published is not in use')
  })

  test('asks the KMS for nothing that it holds already', async () => {
    await keys.reload()
    const before = deployment.wrapper.calls.length
    await Promise.all([keys.reload(), keys.reload(), keys.reload()])
    assert.equal(deployment.wrapper.calls.length, before)
  })
})
