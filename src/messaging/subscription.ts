import type { AuditEvent } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { rejected, unreachable } from '../outbound/dial-errors.ts'
import { clip } from './audited.ts'
import type { BrokerClient } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import type { DeliveryCheck } from './delivery-check.ts'
import { reasonName } from './reason-codes.ts'

/** Time that the broker has to confirm an UNSUBSCRIBE; the connection is ended otherwise. */
const UNSUBSCRIBE_MS = 2_000

/**
 * Subscribes, and answers the QoS that the broker granted. A client that confirms nothing by `deadlineMs` is destroyed.
 *
 * @throws {AppError} `broker.rejected` by the SUBACK, `broker.unreachable` without one, and what `BrokerClient.subscribe` throws
 */
export async function subscribeOn(
  client: BrokerClient,
  filter: string,
  qos: Qos,
  { deadlineMs, clock }: { deadlineMs: number; clock: Clock },
): Promise<Qos> {
  const code = await withDeadline(client.subscribe(filter, qos), deadlineMs, clock)
  if (code === EXPIRED) client.destroy()
  if (code === EXPIRED || code === null) throw unreachable(new Error('no SUBACK'))
  if (code >= 0x80) throw rejected(`The broker refused the subscription: ${reasonName(code)}.`, reasonName(code), code)
  return code as Qos
}

/** Ends a subscription, so that the connection may serve another one; a client that does not confirm it is destroyed. */
export async function unsubscribeFrom(client: BrokerClient, filter: string, clock: Clock): Promise<void> {
  try {
    if (client.closed) return
    const confirmed = await withDeadline(client.unsubscribe(filter), clock.monotonic() + UNSUBSCRIBE_MS, clock)
    if (confirmed !== true) client.destroy()
  } catch {
    client.destroy() // it ended in the meantime
  }
}

/** Audit rows of what was withheld, one for each reason and revision. */
export function deniedDeliveries(
  base: Pick<AuditEvent, 'tenantId' | 'actor' | 'requestId' | 'object'>,
  deliveries: Pick<DeliveryCheck, 'refused'>,
): AuditEvent[] {
  return deliveries.refused().map(({ topic, policy, rule, reason, count }): AuditEvent => {
    const by = policy && { policy_id: policy.id, policy_revision: policy.revision }
    const detail = { ...by, topic: clip(topic), rule, policy_reason: reason, refused: count }
    return { ...base, action: 'proxy.delivery', outcome: 'denied', detail }
  })
}
