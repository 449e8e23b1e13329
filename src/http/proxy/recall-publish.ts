import type { z } from 'zod'
import type { MessageStatus } from '../../messaging/message-status.ts'
import { refusedByBroker } from '../../messaging/outcome-errors.ts'
import type { Recalled } from '../operation.ts'
import type { Services } from '../services.ts'
import type { ProxyRequest } from './proxy-request.ts'
import type { publishBody, published } from './publish.ts'
import type { requestBody } from './request.ts'

type Body = z.output<typeof publishBody> | z.output<typeof requestBody>

/** Whether the record proves that nothing reached a broker that kept it: the request may run again. */
function cameToNothing({ state, late, items }: MessageStatus): boolean {
  if (items) return items.acknowledged + items.sent + items.unknown === 0
  return !late && (state === 'rejected' || state === 'unavailable' || state === 'denied')
}

/**
 * Answers for a publish whose process ended before it could, from its audit rows. `sent_at` is then the time of its intent,
 * the last moment that is known to be before. The record does not hold the reply of a request, nor all of the answer to a
 * batch: what became of their messages is told where the error says to ask.
 */
export async function recallPublish(
  { findMessage }: Pick<Services, 'findMessage'>,
  { caller }: ProxyRequest,
  { operation, payload, dry_run: dryRun }: Body,
  messageId: string,
): Promise<Recalled<z.input<typeof published>>> {
  if (dryRun) return 'nothing'
  const status = await findMessage(caller.tenantId, messageId)
  if (!status || cameToNothing(status)) return 'nothing'
  const { state, late, reason_code: reasonCode, qos, retain, topic } = status
  if (operation === 'request' || status.items) return 'unknown'
  if (state === 'rejected') return refusedByBroker(reasonCode ?? 0x80)
  if (state !== 'acknowledged' && state !== 'sent') return 'unknown'
  const acknowledged = state === 'acknowledged'
  return {
    data: {
      outcome: state,
      ...(status.no_subscribers && { no_subscribers: true }),
      message_id: messageId,
      integration_id: status.integration_id,
      topic: payload.topic ?? topic ?? '',
      qos: qos ?? 0,
      retain: retain ?? false,
      reason_code: acknowledged ? reasonCode : null,
      sent_at: status.intended_at,
      acknowledged_at: acknowledged ? (late?.at ?? status.settled_at) : null,
    },
    status: acknowledged && !status.no_subscribers ? 200 : 202,
    subject: status.integration_id,
  }
}
