import { AppError } from '../core/errors.ts'
import { rejected } from '../outbound/dial-errors.ts'
import { reasonName } from './reason-codes.ts'

/** Where to ask later what became of a message: the broker's word may still come. */
export function askAt(messageId: string): string {
  return `/api/v2/proxy/messages/${messageId}`
}

/** Bytes may have left, and nothing proves what became of them. */
export function unknownOutcome(messageId: string, cause?: unknown): AppError {
  return new AppError(
    'outcome.unknown',
    'The message may have been delivered: it left, and no acknowledgement was seen in time.',
    { details: { message_id: messageId, ask: askAt(messageId) }, cause },
  )
}

/** The broker answered a PUBLISH with a reason code of 0x80 or more. */
export function refusedByBroker(reasonCode: number): AppError {
  const reason = reasonName(reasonCode)
  return rejected(`The broker refused the message: ${reason}.`, reason, reasonCode)
}
