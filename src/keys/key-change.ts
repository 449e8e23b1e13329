import type { Audit, AuditEvent } from '../audit/audit.ts'
import { createAuditedChange } from '../audit/audited-change.ts'
import { NO_TENANT, newId } from '../core/ids.ts'
import type { ChangeFeed } from '../db/change-feed.ts'
import type { Db, Queryable } from '../db/db.ts'
import { lockDeploymentKeys, type NewKeyDeps } from './first-keys.ts'
import { DEPLOYMENT, findKeys, insertKeys, type KeyMove, type KeyState, moveKey, type StoredKey } from './stored-key.ts'

export interface KeyChangeDeps extends NewKeyDeps {
  db: Db
  feed: Pick<ChangeFeed, 'announce'>
  audit: Audit
}

/** Who changes keys of the deployment: somebody at the host, or a server's own upkeep. */
export type KeyActor = 'operator' | 'system'

type Detail = NonNullable<AuditEvent['detail']>

/** One change of the deployment's keys: nobody else makes one meanwhile, and every move of it is audited. */
export interface KeyStep {
  readonly tx: Queryable
  readonly nowMs: number
  /** The keys as they are after the moves so far. */
  readonly rows: readonly StoredKey[]
  add(key: StoredKey, detail?: Detail): Promise<void>
  move(key: StoredKey, move: KeyMove, detail?: Detail): Promise<StoredKey>
  /** Audits something that is no move. */
  note(action: string, key: StoredKey, detail: Detail): void
}

const actions: Readonly<Record<KeyState, string>> = {
  next: 'keys.publish',
  active: 'keys.activate',
  retired: 'keys.retire',
  revoked: 'keys.revoke',
  destroyed: 'keys.destroy',
}

export type KeyChange = <T>(actor: KeyActor, work: (step: KeyStep) => Promise<T>) => Promise<T>

/**
 * Makes changes of the deployment's keys: one at a time, over the rows as they are then, audited in the chain of
 * {@link NO_TENANT}, and announced to every process with the commit.
 */
export function createKeyChange(deps: KeyChangeDeps): KeyChange {
  const { feed, clock } = deps
  const change = createAuditedChange(deps)
  return (actor, work) =>
    change(async (tx) => {
      await lockDeploymentKeys(tx)
      const nowMs = clock.now()
      const rows = await findKeys(tx, DEPLOYMENT)
      const events: AuditEvent[] = []
      const requestId = newId('req', nowMs)

      function note(action: string, { id, purpose, state }: StoredKey, detail: Detail): void {
        const object = { kind: 'key', id }
        const full = { purpose, state, ...detail }
        events.push({
          tenantId: NO_TENANT,
          actor: { id: actor },
          requestId,
          action,
          outcome: 'success',
          object,
          detail: full,
        })
      }
      function replace(key: StoredKey): void {
        const at = rows.findIndex(({ id }) => id === key.id)
        if (at >= 0) rows[at] = key
        else rows.push(key)
      }

      const step: KeyStep = {
        tx,
        nowMs,
        rows,
        note,
        async add(key, detail = {}) {
          await insertKeys(tx, [key])
          replace(key)
          const action = key.state === 'active' ? 'keys.create' : actions[key.state]
          note(action, key, { kms_key_id: key.kmsKeyId, ...detail })
        },
        async move(key, move, detail = {}) {
          const moved = await moveKey(tx, key, move, nowMs)
          replace(moved)
          note(actions[moved.state], moved, detail)
          return moved
        },
      }
      const result = await work(step)
      if (events.length > 0) await feed.announce(tx, 'deployment_key', '')
      return { result, events }
    })
}

/** Finds a key of the deployment among the rows of a change. */
export function keyById({ rows }: Pick<KeyStep, 'rows'>, id: string): StoredKey | undefined {
  return rows.find((row) => row.id === id)
}
