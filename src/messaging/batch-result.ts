import { AppError } from '../core/errors.ts'
import type { Qos } from './broker-limits.ts'
import { type ItemOutcome, itemOutcomeOf } from './item-outcomes.ts'
import type { Judged } from './judge-message.ts'
import { refusedByBroker, unknownOutcome } from './outcome-errors.ts'
import { reasonCodes } from './reason-codes.ts'
import type { WrittenItem } from './write-batch.ts'

/** What became of one item, with QoS and retain as they were forwarded. */
export interface BatchItem {
  readonly index: number
  readonly message_id: string
  readonly outcome: ItemOutcome
  readonly no_subscribers?: true
  readonly qos: Qos
  readonly retain: boolean
  readonly reason_code: number | null
  /** Absent where it was acknowledged or sent. */
  readonly error?: AppError
}

export interface BatchResult {
  /**
   * `acknowledged`: every item was; `sent`: every item went out, at least one of them at QoS 0; `partial`: some did, and some
   * did not or nobody knows. Where none is known to have gone out: `unknown` if one may have, else why the first that tells
   * most did not.
   */
  readonly outcome: ItemOutcome | 'partial'
  readonly message_id: string
  readonly integration_id: string
  readonly items: readonly BatchItem[]
  readonly counts: Partial<Record<ItemOutcome, number>>
  /** When the first PUBLISH was written. */
  readonly sent_at: string | null
  readonly completed_at: string
}

/** What says most about a batch of which nothing went out comes first. */
const BY_WEIGHT = ['unknown', 'unavailable', 'rejected', 'denied'] as const satisfies readonly ItemOutcome[]

const wentOut = ({ outcome }: BatchItem) => outcome === 'acknowledged' || outcome === 'sent'

function batchOutcomeOf(items: readonly BatchItem[]): BatchResult['outcome'] {
  if (items.every(({ outcome }) => outcome === 'acknowledged')) return 'acknowledged'
  if (items.every(wentOut)) return 'sent'
  if (items.some(wentOut)) return 'partial'
  return BY_WEIGHT.find((outcome) => items.some((item) => item.outcome === outcome)) ?? 'denied'
}

/** Makes the item of a message that was refused before anything was written, or of what became of it at the broker. */
function batchItemOf(index: number, { message }: Judged, written: WrittenItem): BatchItem {
  const { messageId, qos, retain } = message
  const base = { index, message_id: messageId, qos, retain }
  const failed = (error: AppError): BatchItem => {
    const code = error.details?.['reason_code']
    const reasonCode = typeof code === 'number' ? code : null
    return { ...base, outcome: itemOutcomeOf(error), reason_code: reasonCode, error }
  }
  if ('error' in written) return failed(written.error)
  const { delivery } = written
  if (delivery.state === 'unknown') return failed(unknownOutcome(messageId))
  if (delivery.state === 'refused') return failed(refusedByBroker(delivery.reasonCode))
  if (delivery.state === 'sent') return { ...base, outcome: 'sent', reason_code: null }
  const unheard = delivery.reasonCode === reasonCodes.noMatchingSubscribers
  return {
    ...base,
    outcome: 'acknowledged',
    ...(unheard && { no_subscribers: true }),
    reason_code: delivery.reasonCode,
  }
}

function countsOf(items: readonly BatchItem[]): BatchResult['counts'] {
  const counts: Partial<Record<ItemOutcome, number>> = {}
  for (const { outcome } of items) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

/** Puts together what became of the messages of a batch, in their order. */
export function batchResultOf(
  { messageId, integrationId }: { messageId: string; integrationId: string },
  judged: readonly Judged[],
  ends: readonly WrittenItem[],
  nowMs: number,
): BatchResult {
  const items = ends.map((end, index) => batchItemOf(index, judged[index] as Judged, end))
  const first = ends.find((end) => 'sentAtMs' in end)
  return {
    outcome: batchOutcomeOf(items),
    message_id: messageId,
    integration_id: integrationId,
    items,
    counts: countsOf(items),
    sent_at: first ? new Date(first.sentAtMs).toISOString() : null,
    completed_at: new Date(nowMs).toISOString(),
  }
}

/** Whether all items ended with the same error, so that it need not be said for each. */
export function endedAlike([first, ...others]: readonly BatchItem[]): boolean {
  const isSame = ({ error }: BatchItem) =>
    error?.code === first?.error?.code && error?.message === first?.error?.message
  return others.every(isSame)
}

/** The refusal of a batch of which nothing is known to have gone out; `undefined` for any other. */
export function failureOfBatch({ outcome, items, message_id: messageId }: BatchResult): AppError | undefined {
  const first = items.find((item) => item.error && item.outcome === outcome)
  if (!first?.error || items.some(wentOut)) return undefined
  const { code, message, details, retryAfterS } = first.error
  const what = outcome === 'unknown' ? 'is known to be delivered' : 'was delivered'
  return new AppError(code, `Of ${items.length} messages none ${what}. payload.messages[${first.index}]: ${message}`, {
    details: { ...details, message_id: messageId },
    cause: first.error.cause,
    ...(retryAfterS !== undefined && { retryAfterS }),
  })
}
