import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Queryable } from '../db/db.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { Vault } from '../vault/vault.ts'
import { countLocks } from './lock-store.ts'
import type { Grant, Unlock, UnlockEnd, Unlocks } from './unlocks.ts'

export interface UnlockWatchDeps {
  unlocks: Unlocks
  db: Queryable
  feed: Pick<ChangeFeed, 'on' | 'live'>
  vault: Pick<Vault, 'current'>
  integrations: Pick<Integrations, 'find'>
  log: Log
}

export interface UnlockWatch {
  /** Ends the unlock if it is void; it is not used until that is known. */
  look(unlock: Unlock): Promise<void>
  /**
   * Resolves when no look is under way; one that failed is taken again, and without a change feed there is one for each use.
   * Absent where nothing is in doubt.
   */
  settled(integration: Pick<Integration, 'tenantId' | 'id'>): Promise<void> | undefined
  forget(unlock: Unlock): void
}

/**
 * Hears of changes to credentials and integrations, and of locks by other processes, and looks in the database whether an
 * unlock is void by them; at every one when announcements may have been lost.
 */
export function watchUnlocks({ unlocks, db, feed, vault, integrations, log }: UnlockWatchDeps): UnlockWatch {
  /** Unlocks that something may have ended: none of them is used before the look is over. */
  const looks = new Map<Unlock, Promise<void>>()

  /** What makes a grant void, if anything does. */
  async function voidedBy({
    tenantId,
    integrationId,
    credentialId,
    version,
    locks,
  }: Grant): Promise<UnlockEnd | undefined> {
    const found = integrations.find(tenantId, integrationId).catch((err: unknown) => {
      if (err instanceof AppError && err.code === 'object.not_found') return undefined
      throw err
    })
    const [now, integration, current] = await Promise.all([
      countLocks(db, tenantId, integrationId),
      found,
      vault.current(tenantId, credentialId),
    ])
    if (integration?.credentialId !== credentialId) return 'integration_changed'
    if (now !== locks) return 'locked'
    return current?.custody === 1 && current.version === version ? undefined : 'credential_changed'
  }

  /** Ends the unlock if it is void; it is not used until that is known. */
  function look(unlock: Unlock): Promise<void> {
    const integration = { tenantId: unlock.tenantId, id: unlock.integrationId }
    const looking = voidedBy(unlock).then((reason) => {
      if (looks.get(unlock) !== looking) return // somebody looks again
      looks.delete(unlock)
      if (reason && unlocks.find(integration) === unlock) unlocks.end(integration, reason)
    })
    looks.set(unlock, looking)
    looking.catch((err: { code?: unknown }) => {
      log.warn({ integration: integration.id, code: err.code }, 'an unlock could not be looked at; it waits')
    })
    return looking
  }

  function lookAt(concerned: (unlock: Unlock) => boolean): void {
    for (const unlock of unlocks) if (concerned(unlock)) void look(unlock).catch(() => undefined) // it said so in the log
  }
  feed.on('vault', (key) => {
    if (key !== undefined) lookAt(({ tenantId, credentialId }) => key === `${tenantId}/${credentialId}`)
  })
  feed.on('integration', (key) => {
    if (key !== undefined) lookAt(({ tenantId, integrationId }) => key === `${tenantId}/${integrationId}`)
  })
  feed.on('integration_lock', (key) => {
    lookAt(({ tenantId, integrationId }) => key === undefined || key === `${tenantId}/${integrationId}`)
  })

  return {
    look,
    settled(integration) {
      const unlock = unlocks.find(integration)
      if (!unlock) return undefined
      const looking = looks.get(unlock)?.catch(() => look(unlock))
      return looking ?? (feed.live ? undefined : look(unlock))
    },
    forget: (unlock) => void looks.delete(unlock),
  }
}
