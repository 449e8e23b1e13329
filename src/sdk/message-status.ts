import { type CallOptions, type Connection, pathSegment } from './connection.ts'
import { type Opened, type Reader, sealedCall } from './sealed-call.ts'
import { fromWire } from './wire-names.ts'

/** `unavailable`: nothing was sent, try again. `unknown`: bytes may have left, and nobody saw an acknowledgement. */
export type MessageOutcome = 'acknowledged' | 'sent' | 'rejected' | 'unavailable' | 'denied' | 'unknown'

export interface MessageStatus {
  messageId: string
  integrationId: string
  requestId: string | null
  /** The best that is known now, a late word of the broker included. `mixed`: a batch whose messages ended differently. */
  state: MessageOutcome | 'in_progress' | 'mixed'
  noSubscribers?: true
  reasonCode: number | null
  /** The error code that its caller was answered; of one message of a batch only `outcome.unknown`. */
  code: string | null
  /** At most 256 characters of it. */
  topic: string | null
  qos: 0 | 1 | 2 | null
  retain: boolean | null
  /** When it was about to be sent, or was refused: nothing left before. */
  intendedAt: string
  /** When its outcome was put on record. */
  settledAt: string | null
  /** What the broker said after the caller had been answered that nobody knows. */
  late: { state: 'acknowledged' | 'sent' | 'rejected'; reasonCode: number | null; at: string } | null
  /** Of a batch, asked for by the id of the whole: how many messages came to what. */
  items?: Record<MessageOutcome, number>
}

/** Asks what became of a message; see `proxy.message`. */
export async function getMessage(
  connection: Connection,
  reader: Reader,
  id: string,
  options: CallOptions,
): Promise<Opened<MessageStatus>> {
  const call = {
    method: 'GET',
    path: `/api/v2/proxy/messages/${pathSegment(id)}`,
    operation: 'messages.get',
    repeatable: true,
  } as const
  const { result, envelope } = await sealedCall(connection, reader, call, options)
  return { result: fromWire(result) as MessageStatus, envelope }
}
