import type { Audit } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import type { Clock } from '../core/clock.ts'
import { newId } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db } from '../db/db.ts'
import type { Peppers } from '../keys/deployment-keys.ts'
import { holdPepper } from '../keys/hold-pepper.ts'
import { type ApiKeyParts, apiKeyDigest } from './api-key.ts'
import { moveDigest } from './api-key-store.ts'

/** API keys on their way to another pepper at the same time; the rest moves when it is next presented. */
const MOVING_MAX = 16

export interface Redigest {
  /** Starts to move an API key that has just been verified from a retired pepper to the active one. Never throws. */
  (key: { tenantId: string; pepperId: string }, parts: ApiKeyParts): void
  /** Resolves when nothing is on its way any more. */
  settled(): Promise<void>
}

/**
 * Writes digests anew under the active pepper, each in a change of its own beside the request that presented the key. The
 * first of several processes wins; the others change nothing.
 */
export function createRedigest(deps: {
  db: Db
  feed: Pick<ChangeFeed, 'announce'>
  peppers: Peppers
  audit: Audit
  clock: Pick<Clock, 'now'>
  log: Log
}): Redigest {
  const { feed, peppers, clock, log } = deps
  const change = createAuditedChange(deps)
  const moving = new Map<string, Promise<void>>()

  async function move(tenantId: string, oldId: string, parts: ApiKeyParts): Promise<void> {
    const { id: pepperId, mac } = peppers.active
    if (pepperId === oldId) return
    const digest = apiKeyDigest(mac, tenantId, parts)
    const { keyId } = parts
    await change(async (tx) => {
      await holdPepper(tx, pepperId)
      if (!(await moveDigest(tx, tenantId, keyId, { digest, pepperId, oldId })))
        return { result: undefined, events: [] }
      await feed.announce(tx, 'api_key', keyId)
      const event = {
        tenantId,
        actor: { id: 'system' },
        requestId: newId('req', clock.now()),
        action: 'api_keys.redigest',
        outcome: 'success',
        object: { kind: 'api_key', id: keyId },
        detail: { pepper_id: pepperId, replaced_id: oldId },
      } as const
      return { result: undefined, events: [event] }
    })
  }

  function redigest({ tenantId, pepperId }: { tenantId: string; pepperId: string }, parts: ApiKeyParts): void {
    const { keyId } = parts
    if (moving.has(keyId) || moving.size >= MOVING_MAX) return
    const work = move(tenantId, pepperId, parts)
      .catch((err: unknown) => {
        const { code } = err as { code?: unknown }
        log.warn({ keyId, code }, 'an API key stays under its old pepper; it moves when it is next presented')
      })
      .finally(() => moving.delete(keyId))
    moving.set(keyId, work)
  }
  return Object.assign(redigest, {
    async settled() {
      await Promise.all(moving.values())
    },
  })
}
