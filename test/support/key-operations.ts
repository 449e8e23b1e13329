import { silentLog } from '#src/core/log.ts'
import type { ChangeFeed } from '#src/db/change-feed.ts'
import type { Queryable } from '#src/db/db.ts'
import { type DeploymentKeys, openDeploymentKeys } from '#src/keys/deployment-keys.ts'
import { createKeyOperations, type KeyOperations } from '#src/keys/key-operations.ts'
import type { KeyWrapper } from '#src/kms/kms.ts'
import { countByPepper } from '#src/tenants/api-key-store.ts'
import type { TestDeployment } from './deployment.ts'

/** What the operator of a test deployment does with its keys. */
export function keyOperationsOf(deployment: Omit<TestDeployment, 'feed'> & { feed: ChangeFeed }): KeyOperations {
  const { clock } = deployment
  const countApiKeys = (db: Queryable) => countByPepper(db, new Date(clock.now()))
  return createKeyOperations({ ...deployment, countApiKeys, counters: [] })
}

/** The keys of a test deployment in another process that follows its change feed. Close it when done. */
export async function followingKeys(
  deployment: TestDeployment,
  wrapper: KeyWrapper = deployment.wrapper,
): Promise<DeploymentKeys> {
  const keys = await openDeploymentKeys({ ...deployment, wrapper })
  keys.follow(deployment.feed, silentLog)
  return keys
}

/** What a process answers that holds every key. */
export const everyKey = (): boolean => true
