import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { DeploymentKeys } from './deployment-keys.ts'

/** Seconds before the end of a document of an offline root from which the operator is told. */
const WARN_BEFORE_S = 7 * 86_400
const WARN_EVERY_MS = 3_600_000

/** Warns, once an hour, while the document of an offline root has less than seven days to live, or none. */
export function createDocumentWatch({
  keys,
  clock,
  log,
}: {
  keys: Pick<DeploymentKeys, 'documentState'>
  clock: Clock
  log: Log
}): () => Promise<void> {
  let warnedAtMs = Number.NEGATIVE_INFINITY
  return async () => {
    const { isRootOffline, expiresAtS } = await keys.documentState()
    const leftS = expiresAtS - Math.floor(clock.now() / 1000)
    if (!isRootOffline || leftS > WARN_BEFORE_S || clock.monotonic() - warnedAtMs < WARN_EVERY_MS) return
    warnedAtMs = clock.monotonic()
    const expires_at = new Date(expiresAtS * 1000).toISOString()
    const todo = 'and the root is offline; sign one: sealwire keys root sign --root-file FILE'
    if (leftS > 0) {
      log.warn({ expires_at, days_left: Math.floor(leftS / 86_400) }, `the key document ends soon ${todo}`)
    } else log.error({ expires_at }, `the key document has ended, clients refuse answers, ${todo}`)
  }
}
