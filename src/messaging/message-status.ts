import type { AuditRow } from '../audit/row.ts'
import { type ItemOutcome, parseItemOutcomes, UNAVAILABLE } from './item-outcomes.ts'
import { reasonCodes } from './reason-codes.ts'

/** `mixed`: a batch whose messages came to different ends. */
export type MessageState = ItemOutcome | 'in_progress' | 'mixed'

export interface LateWord {
  state: 'acknowledged' | 'sent' | 'rejected'
  reason_code: number | null
  at: string
}

/** What the audit log knows of a message, as it goes to the caller. Times are those of the rows. */
export interface MessageStatus {
  message_id: string
  integration_id: string
  request_id: string | null
  /** The best that is known now; a late word of the broker is part of it. */
  state: MessageState
  no_subscribers?: true
  reason_code: number | null
  /** The error code that its caller was answered; of one message of a batch only `outcome.unknown`. */
  code: string | null
  topic: string | null
  qos: 0 | 1 | 2 | null
  retain: boolean | null
  /** When it was to be sent, or was refused: nothing left before. */
  intended_at: string
  /** When what its caller was answered was put on record. */
  settled_at: string | null
  /** What the broker said after its caller had been answered that nobody knows. */
  late: LateWord | null
  /** Of a batch as a whole: how many messages came to what. */
  items?: Record<ItemOutcome, number>
}

type Detail = AuditRow['detail']

/** The longest that an outcome row may come after the deadline of its message: the audit log gives up earlier. */
const SETTLING_MS = 5_000
/** What an intent without one has. */
const DEFAULT_DEADLINE_MS = 30_000

const numberOf = (value: Detail[string] | undefined): number | null => (typeof value === 'number' ? value : null)
const textOf = (value: Detail[string] | undefined): string | null => (typeof value === 'string' ? value : null)

function settledState({ outcome, detail }: AuditRow): MessageState {
  const { outcome: said, code } = detail
  if (said === 'acknowledged' || said === 'sent') return said
  // What failed without a code of ours may have failed after bytes left.
  if (outcome === 'unknown' || code === 'internal') return 'unknown'
  if (outcome === 'denied') return 'denied'
  return typeof code === 'string' && UNAVAILABLE.has(code) ? 'unavailable' : 'rejected'
}

/** An outcome of the process that sent it counts more than the sweeper's, which only says that there was none. */
function settling(rows: readonly AuditRow[]): AuditRow | undefined {
  const outcomes = rows.filter(({ action }) => action === 'proxy.publish.outcome')
  return outcomes.find(({ detail }) => detail['swept'] !== true) ?? outcomes[0]
}

function lateWord(row: AuditRow | undefined): LateWord | null {
  if (row === undefined) return null
  const { outcome, reason_code: reasonCode } = row.detail
  return { state: outcome as LateWord['state'], reason_code: numberOf(reasonCode), at: row.at }
}

/** Until when an outcome row may still come, in Unix milliseconds. */
function openUntilMs({ at, detail }: AuditRow): number {
  return Date.parse(at) + (numberOf(detail['deadline_ms']) ?? DEFAULT_DEADLINE_MS) + SETTLING_MS
}

/** What a batch came to: in one word, and counted. */
function batchState(items: readonly ItemOutcome[]): Pick<MessageStatus, 'state' | 'items'> {
  const counts = { acknowledged: 0, sent: 0, rejected: 0, unavailable: 0, denied: 0, unknown: 0 }
  for (const item of items) counts[item]++
  const [first = 'unknown', ...others] = new Set(items)
  return { state: others.length > 0 ? 'mixed' : first, items: counts }
}

/** What its caller was answered, or would have been. */
function answered(
  intent: AuditRow,
  outcome: AuditRow | undefined,
  index: number | undefined,
  nowMs: number,
): Pick<MessageStatus, 'state' | 'items'> {
  if (!outcome) return { state: nowMs < openUntilMs(intent) ? 'in_progress' : 'unknown' }
  const text = textOf(outcome.detail['item_outcomes'])
  if (text === null) return { state: settledState(outcome) }
  const items = parseItemOutcomes(text) ?? []
  return index === undefined ? batchState(items) : { state: items[index] ?? 'unknown' }
}

/** The error of a row. That of a batch names its first failure, and is the answer only where no message went out. */
function errorIn({ detail }: AuditRow, item: number | undefined): { code: string | null; reasonCode: number | null } {
  const isOfBatch = detail['item_outcomes'] !== undefined
  const wentOut =
    detail['outcome'] === 'partial' || detail['outcome'] === 'acknowledged' || detail['outcome'] === 'sent'
  const isAnswer = !isOfBatch || (item === undefined && !wentOut)
  return {
    code: isAnswer ? textOf(detail['code']) : null,
    reasonCode: isOfBatch ? null : numberOf(detail['reason_code']),
  }
}

const isAbout = (action: string) => (row: AuditRow) => row.action === action && row.detail['dry_run'] !== true

/**
 * Reads from its audit rows, oldest first, what became of a message. `item` is its place in a batch, from 0; `rows` are then
 * also those of the batch. `undefined` when none of them is about one: a dry run has an id and no message. Pure.
 */
export function messageStatus(
  messageId: string,
  rows: readonly AuditRow[],
  nowMs: number,
  item?: number,
): MessageStatus | undefined {
  const own = rows.filter((row) => row.message_id === messageId)
  const denied = own.find(isAbout('proxy.publish.denied'))
  const intent = rows.find(isAbout('proxy.publish.intent'))
  const items = numberOf(intent?.detail['items'])
  const isItem = item !== undefined && (items === null ? denied !== undefined : item < items)
  const first = item === undefined || isItem ? (denied ?? intent) : undefined
  if (!first?.object) return undefined

  const outcome = denied ?? settling(rows)
  const { state, ...more } = denied ? { state: 'denied' as const } : answered(first, outcome, item, nowMs)
  const late = lateWord(own.find(isAbout('proxy.publish.late')))
  const word = state === 'unknown' || state === 'in_progress' ? late : null
  const isBatch = items !== null && first === intent
  const { detail } = first
  const error = outcome ? errorIn(outcome, item) : undefined
  const reasonCode = word ? word.reason_code : (error?.reasonCode ?? null)
  const qos = numberOf(detail['forwarded_qos']) ?? numberOf(detail['qos'])
  const retain = detail['forwarded_retain'] ?? detail['retain']
  return {
    message_id: messageId,
    integration_id: first.object.id,
    request_id: first.request_id,
    state: word?.state ?? state,
    ...(reasonCode === reasonCodes.noMatchingSubscribers && { no_subscribers: true }),
    reason_code: reasonCode,
    code: error?.code ?? (state === 'unknown' ? 'outcome.unknown' : null),
    topic: isBatch ? null : textOf(detail['topic']),
    qos: isBatch ? null : (qos as MessageStatus['qos']),
    retain: !isBatch && typeof retain === 'boolean' ? retain : null,
    intended_at: first.at,
    settled_at: outcome?.at ?? null,
    late,
    ...more,
  }
}
