import type { AuditReader } from '../audit/reader.ts'
import type { Clock } from '../core/clock.ts'
import { isId } from '../core/ids.ts'
import { type MessageStatus, messageStatus } from './message-status.ts'

/** The parts of a message id: `msg_…`, and for one of a batch its place, from 0. */
interface MessageName {
  id: string
  item: number | undefined
}

/** `undefined` for what is no message id: `msg_…`, or `msg_….17` for item 17 (from 0) of a batch. */
export function parseMessageId(text: string): MessageName | undefined {
  const [, id = '', item] = /^([^.]+)(?:\.(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  return isId('msg', id) ? { id, item: item === undefined ? undefined : Number(item) } : undefined
}

/**
 * Answers what became of a message, as long as the audit log has its rows; `undefined` when it knows none with that id, and
 * therefore nothing of it has been sent so far.
 *
 * Fails with `database.unavailable`.
 */
export type FindMessage = (tenantId: string, messageId: string) => Promise<MessageStatus | undefined>

export function createFindMessage(deps: { auditReader: Pick<AuditReader, 'ofMessage'>; clock: Clock }): FindMessage {
  return async (tenantId, messageId) => {
    const name = parseMessageId(messageId)
    if (!name) return undefined
    const rows = await deps.auditReader.ofMessage(tenantId, [...new Set([messageId, name.id])])
    return messageStatus(messageId, rows, deps.clock.now(), name.item)
  }
}
