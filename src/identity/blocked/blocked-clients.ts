import type { Audit, AuditEvent, Caller } from '../../audit/audit.ts'
import { createAuditedChange } from '../../audit/audited-change.ts'
import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { isId, newId } from '../../core/ids.ts'
import type { ChangeFeed } from '../../db/change-feed.ts'
import type { Db, Page } from '../../db/db.ts'
import { type BlockedClient, type BlockedType, canonicalValue, isRegex, valueProblem } from './blocked-client.ts'
import {
  countBlocked,
  findBlocked,
  findSame,
  insertBlocked,
  listBlocked,
  moveRevision,
  removeBlocked,
  removeExpired,
  sweepExpired,
} from './blocked-store.ts'

export interface NewBlockedClient {
  readonly type: BlockedType
  readonly value: string
  readonly description?: string | undefined
  /** Absent: it does not expire. */
  readonly expiresAt?: Date | undefined
}

/** The lists of clients that may not come in. Another tenant's entry and a missing one are `object.not_found` alike. */
export interface BlockedClients {
  /**
   * Blocks a client at every broker of the tenant that asks us, within five seconds, those that are connected included.
   *
   * @throws {AppError} `request.invalid` for a value that is none, `object.in_use` when it is blocked already,
   * `quota.exceeded`
   */
  block(caller: Caller, entry: NewBlockedClient): Promise<BlockedClient>
  /** @throws {AppError} `object.not_found` */
  unblock(caller: Caller, id: string): Promise<BlockedClient>
  /** @throws {AppError} `object.not_found` */
  get(tenantId: string, id: string): Promise<BlockedClient>
  /** Newest first; one that has expired is shown until the next one is made, at most for a week. */
  list(tenantId: string, page: Page): Promise<BlockedClient[]>
  /** Removes what expired a week ago; returns how many. */
  sweep(): Promise<number>
}

export interface BlockedClientsDeps {
  readonly db: Db
  readonly feed: ChangeFeed
  readonly audit: Audit
  readonly clock: Clock
}

const MAX_ENTRIES = 10_000
/** Each is put to every name that is not yet known. */
const MAX_REGEXES = 100
const SHOWN_MS = 7 * 86_400_000

const notFound = () => new AppError('object.not_found', 'No such object.')

function blockedEvent(action: 'clients.block' | 'clients.unblock', caller: Caller, entry: BlockedClient): AuditEvent {
  const { id, type, value, expiresAt } = entry
  return {
    tenantId: caller.tenantId,
    action,
    outcome: 'success',
    actor: caller.actor,
    object: { kind: 'blocked_client', id },
    requestId: caller.requestId,
    detail: { type, blocked: value, expires_at: expiresAt?.toISOString() ?? null },
  }
}

function assertUsable({ type, value, expiresAt }: NewBlockedClient, nowMs: number): void {
  const problem = valueProblem(type, value)
  if (problem !== undefined) {
    throw new AppError('request.invalid', `value: ${problem}.`, { details: { member: 'value' } })
  }
  if (expiresAt !== undefined && !(expiresAt.getTime() > nowMs)) {
    throw new AppError('request.invalid', 'expires_at: must be in the future.', { details: { member: 'expires_at' } })
  }
}

export function createBlockedClients(deps: BlockedClientsDeps): BlockedClients {
  const { db, feed, clock } = deps
  const change = createAuditedChange(deps)

  return {
    async block(caller, input) {
      const { tenantId, actor } = caller
      const now = new Date(clock.now())
      assertUsable(input, now.getTime())
      const { type, description = '', expiresAt = null } = input
      const value = canonicalValue(type, input.value)
      const entry: BlockedClient = {
        id: newId('blk', now.getTime()),
        tenantId,
        type,
        value,
        description,
        createdAt: now,
        createdBy: actor.id,
        expiresAt,
      }
      return change(async (tx) => {
        await moveRevision(tx, tenantId)
        await removeExpired(tx, tenantId, now)
        const same = await findSame(tx, entry)
        if (same) {
          const details = { id: same.id }
          throw new AppError('object.in_use', `This is blocked already, by ${same.id}: unblock that first.`, {
            details,
          })
        }
        const { all, regexes } = await countBlocked(tx, tenantId)
        if (all >= MAX_ENTRIES || (isRegex(type) && regexes >= MAX_REGEXES)) {
          const most = `at most ${MAX_ENTRIES}, of which ${MAX_REGEXES} regular expressions`
          throw new AppError('quota.exceeded', `A tenant has ${most} among its blocked clients.`)
        }
        await insertBlocked(tx, entry)
        await feed.announce(tx, 'blocked_client', tenantId)
        return { result: entry, events: [blockedEvent('clients.block', caller, entry)] }
      })
    },

    async unblock(caller, id) {
      if (!isId('blk', id)) throw notFound()
      return change(async (tx) => {
        await moveRevision(tx, caller.tenantId)
        const removed = await removeBlocked(tx, caller.tenantId, id)
        if (!removed) throw notFound()
        await feed.announce(tx, 'blocked_client', caller.tenantId)
        return { result: removed, events: [blockedEvent('clients.unblock', caller, removed)] }
      })
    },

    async get(tenantId, id) {
      const entry = isId('blk', id) ? await findBlocked(db, tenantId, id) : undefined
      if (!entry) throw notFound()
      return entry
    },

    list: (tenantId, page) => listBlocked(db, tenantId, page),
    sweep: () => sweepExpired(db, new Date(clock.now() - SHOWN_MS)),
  }
}
