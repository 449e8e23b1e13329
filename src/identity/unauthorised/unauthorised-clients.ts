import type { Audit, Caller } from '../../audit/audit.ts'
import { createAuditedChange } from '../../audit/audited-change.ts'
import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { isId } from '../../core/ids.ts'
import type { Log } from '../../core/log.ts'
import type { Db } from '../../db/db.ts'
import type { RefusalLog } from '../chain.ts'
import { createPendingRefusals, type LetIn, type PendingRefusal } from './pending-refusals.ts'
import type { UnauthorisedClient } from './unauthorised-client.ts'
import {
  clearUnauthorised,
  keepNewest,
  listUnauthorised,
  markLetIn,
  removeUnauthorised,
  sweepUnauthorised,
  type UnauthorisedQuery,
  writeRefusals,
} from './unauthorised-store.ts'

/** The log of clients that were not let in. It says what happened lately; the audit log is what nobody can change. */
export interface UnauthorisedClients {
  /** Where a hook of a tenant tells of its refusals; they are in the list after a second or so. */
  logOf(tenantId: string, hook: string): RefusalLog
  /** The one that tried last comes first. */
  list(tenantId: string, query: UnauthorisedQuery): Promise<UnauthorisedClient[]>
  /** Removes one; it comes back with its next attempt. @throws {AppError} `object.not_found` */
  remove(caller: Caller, id: string): Promise<UnauthorisedClient>
  /** Removes them all; returns how many. */
  clear(caller: Caller): Promise<number>
  /** Writes what is pending. */
  flush(): Promise<void>
  /** Removes what is older than three days; returns how many. */
  sweep(): Promise<number>
  /** Writes what is pending; what cannot be written then is lost, and the log of the server says so. */
  close(): Promise<void>
}

export interface UnauthorisedClientsDeps {
  readonly db: Db
  readonly audit: Audit
  readonly clock: Clock
  readonly log: Log
}

/** Rows of one tenant. */
const MAX_ROWS = 5_000
const KEPT_MS = 3 * 86_400_000
const FLUSH_MS = 1_000
/** Rows in one statement. */
const MAX_WRITTEN = 500

export function createUnauthorisedClients(deps: UnauthorisedClientsDeps): UnauthorisedClients {
  const { db, clock, log } = deps
  const change = createAuditedChange(deps)
  const pending = createPendingRefusals(clock)
  let timer: NodeJS.Timeout | undefined
  let flushing: Promise<void> | undefined
  let isClosed = false

  async function writeTenant(tenantId: string, rows: readonly PendingRefusal[]) {
    let added = 0
    for (let i = 0; i < rows.length; i += MAX_WRITTEN) {
      try {
        added += await writeRefusals(db, tenantId, rows.slice(i, i + MAX_WRITTEN), clock.now())
      } catch (err) {
        pending.giveBack(rows.slice(i))
        throw err
      }
    }
    if (added > 0) await keepNewest(db, tenantId, MAX_ROWS)
  }

  async function markTenant(tenantId: string, rows: readonly LetIn[]): Promise<void> {
    for (let i = 0; i < rows.length; i += MAX_WRITTEN) {
      try {
        await markLetIn(db, tenantId, rows.slice(i, i + MAX_WRITTEN))
      } catch (err) {
        pending.giveBackLetIn(rows.slice(i))
        throw err
      }
    }
  }

  async function write(): Promise<void> {
    const [refused, letIn] = [pending.take(), pending.takeLetIn()]
    const tenants = [...new Set([...refused.keys(), ...letIn.keys()])]
    const writes = tenants.map(async (tenantId) => {
      await writeTenant(tenantId, refused.get(tenantId) ?? []).finally(() =>
        markTenant(tenantId, letIn.get(tenantId) ?? []),
      )
    })
    const ends = await Promise.allSettled(writes)
    const failed = ends.find((end) => end.status === 'rejected')
    if (failed) throw failed.reason
  }

  function flush(): Promise<void> {
    flushing ??= write().finally(() => {
      flushing = undefined
      schedule()
    })
    return flushing
  }

  /** One timer for all of them, and none while there is nothing to write. */
  function schedule(): void {
    if (timer !== undefined || isClosed || pending.isEmpty) return
    timer = setTimeout(() => {
      timer = undefined
      flush().catch((err: unknown) => {
        const { code } = err as { code?: unknown }
        log.warn({ code }, 'the log of unauthorised clients could not be written; it is tried again')
      })
    }, FLUSH_MS)
    timer.unref()
  }

  return {
    logOf: (tenantId, hook) => ({
      note(refusal) {
        pending.add(tenantId, hook, refusal)
        if (timer === undefined) schedule()
      },
      letIn(clientId) {
        if (clientId === '') return // it stands for every client that shows none
        pending.letIn(tenantId, hook, clientId)
        if (timer === undefined) schedule()
      },
    }),

    list: (tenantId, query) => listUnauthorised(db, tenantId, query),

    async remove(caller, id) {
      const { tenantId, actor, requestId } = caller
      return change(async (tx) => {
        const removed = isId('una', id) ? await removeUnauthorised(tx, tenantId, id) : undefined
        if (!removed) throw new AppError('object.not_found', 'No such object.')
        const event = {
          tenantId,
          action: 'clients.clear_unauthorised',
          outcome: 'success',
          actor,
          requestId,
          object: { kind: 'unauthorised_client', id },
          detail: { client_id: removed.clientId, count: 1 },
        } as const
        return { result: removed, events: [event] }
      })
    },

    async clear(caller) {
      const { tenantId, actor, requestId } = caller
      return change(async (tx) => {
        const count = await clearUnauthorised(tx, tenantId)
        const event = {
          tenantId,
          action: 'clients.clear_unauthorised',
          outcome: 'success',
          actor,
          requestId,
          detail: { client_id: null, count },
        } as const
        return { result: count, events: [event] }
      })
    },

    flush,
    sweep: () => sweepUnauthorised(db, new Date(clock.now() - KEPT_MS)),

    async close() {
      isClosed = true
      clearTimeout(timer)
      await flushing?.catch(() => {}) // what it could not write is pending again
      await write().catch((err: unknown) => {
        log.warn({ code: (err as { code?: unknown }).code }, 'the last unauthorised clients were not recorded')
      })
    },
  }
}
