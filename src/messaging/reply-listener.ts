import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import { type Bytes, equalBytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { Identity } from '../policy/identity.ts'
import type { AccessOf } from './access.ts'
import { clip, failureDetail, OUTCOME_GRACE_MS, recordBy } from './audited.ts'
import type { IncomingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { withDeadline } from './deadline.ts'
import { createDeliveryCheck, type DeliveryCheck } from './delivery-check.ts'
import { jsonBytes, MAX_MESSAGES_BYTES, type ReceivedMessage, receivedOf } from './gathering.ts'
import { type GuardsOf, guardSubscribe } from './message-guards.ts'
import { REPLY_QOS } from './message-properties.ts'
import { createAccessNow, deniedByPolicy, outcomeOfFailure } from './permission.ts'
import type { Pool, ReplyLease } from './pool.ts'
import { deniedDeliveries, subscribeOn, unsubscribeFrom } from './subscription.ts'

export interface ReplyListenerDeps {
  readonly pool: Pick<Pool, 'replyCollector'>
  readonly integrations: Pick<Integrations, 'find'>
  readonly accessOf: AccessOf
  readonly guardsOf: GuardsOf
  readonly audit: Audit
  readonly clock: Clock
}

/** Which reply is awaited, by whom. */
export interface AwaitedReply {
  readonly caller: Caller
  readonly identity: Identity
  readonly integration: Integration
  readonly topic: string
  /** The reply bears the same; any other is another request's. */
  readonly correlationData: Bytes
  readonly waitMs: number
  /** On the monotonic clock. */
  readonly deadlineMs: number
}

/**
 * Why there is no reply: none came in time, the connection it would have come on ended, policy or allow list withheld it or
 * could not be asked, or it is more than an answer holds.
 */
export type NoReply = 'timeout' | 'connection_ended' | 'withheld' | 'too_large'

export interface ReplyListener {
  /**
   * Subscribes; nothing that comes before this resolves is a reply.
   *
   * @throws {AppError} what a collect throws
   */
  start(): Promise<void>
  /** Whether the reply is there. */
  readonly replied: boolean
  /** Resolves with the reply as soon as it is there, at `untilMs` (monotonic clock) at the latest. */
  wait(untilMs: number): Promise<ReceivedMessage | NoReply>
  /** Ends the subscription and records its outcome; `err` is what `start` threw. Does nothing unless it was started. */
  conclude(err?: unknown): Promise<void>
}

/**
 * Listens for one reply, under the rules of a collect: an intent is on record before SUBSCRIBE, policy or allow list are
 * asked again every second and judge the delivery, and an outcome is on record before the answer.
 */
export function createReplyListener(deps: ReplyListenerDeps, awaited: AwaitedReply): ReplyListener {
  const { pool, accessOf, guardsOf, audit, clock } = deps
  const { caller, identity, integration, topic, correlationData, waitMs, deadlineMs } = awaited
  const accessNow = createAccessNow(deps)
  const base = { ...caller, object: { kind: 'integration', id: integration.id } } as const
  const arrived = Promise.withResolvers<void>()
  let reply: ReceivedMessage | null = null
  let unusable: 'withheld' | 'too_large' | null = null
  let payloadBytes = 0
  /** Since the intent is on record. */
  let started: { readonly ms: number; readonly deliveries: DeliveryCheck } | undefined
  let lease: ReplyLease | undefined
  let stopListening = () => {}
  let granted: Qos | undefined

  /** Whether it is our reply. A retained message was there before the request. */
  function isAwaited({ topic: actual, retain, properties }: IncomingMessage): boolean {
    const given: unknown = properties.correlationData
    return actual === topic && !retain && given instanceof Uint8Array && equalBytes(given, correlationData)
  }

  function listen(message: IncomingMessage, deliveries: DeliveryCheck): void {
    if (granted === undefined || reply !== null || !isAwaited(message)) return
    if (!deliveries.allow(topic)) {
      unusable = 'withheld'
      return
    }
    const received = receivedOf(message, clock.now())
    if (jsonBytes(received) > MAX_MESSAGES_BYTES) unusable = 'too_large'
    else {
      reply = received
      payloadBytes = message.payload.length
    }
    arrived.resolve()
  }

  function leave(): void {
    stopListening()
    started?.deliveries.stop()
    if (!lease) return
    const { client, release } = lease
    if (lease.leave()) void unsubscribeFrom(client, topic, clock).then(release)
    else release()
    lease = undefined
  }

  return {
    get replied() {
      return reply !== null
    },

    async start() {
      const askedMs = clock.monotonic()
      const access = await accessOf(integration, identity)
      const ruling = access.subscribe(topic, REPLY_QOS)
      if (!ruling.allowed) throw deniedByPolicy(ruling)
      const qos = guardSubscribe(guardsOf(integration), topic, ruling.qos)
      const startedMs = clock.monotonic()
      await recordBy({ audit, clock }, deadlineMs, {
        ...base,
        action: 'proxy.subscribe.intent',
        outcome: 'success',
        detail: {
          topic: clip(topic),
          qos: REPLY_QOS,
          ...(qos !== REPLY_QOS && { forwarded_qos: qos }),
          ...ruling.record,
          max_messages: 1,
          wait_ms: waitMs,
          deadline_ms: Math.max(0, Math.round(deadlineMs - startedMs)),
        },
      })
      const renew = () => accessNow(integration, identity, 'subscribe')
      const granting = { access, policy: ruling.policy, askedMs }
      const deliveries = createDeliveryCheck(granting, renew, { filter: topic, qos: REPLY_QOS }, clock)
      started = { ms: startedMs, deliveries }
      lease = await pool.replyCollector(integration, topic, deadlineMs)
      deliveries.assertAllowed()
      stopListening = lease.client.onMessage((message) => listen(message, deliveries))
      granted = await subscribeOn(lease.client, topic, qos, { deadlineMs, clock })
    },

    async wait(untilMs) {
      if (!lease) throw new TypeError('the listener was not started')
      const { client } = lease
      const forget = client.onEnd(arrived.resolve)
      await withDeadline(arrived.promise, untilMs, clock)
      forget()
      return reply ?? unusable ?? (client.closed ? 'connection_ended' : 'timeout')
    },

    async conclude(err) {
      leave()
      if (!started) return
      const { ms, deliveries } = started
      started = undefined
      const messages = reply === null ? 0 : 1
      const outcome: AuditEvent = {
        ...base,
        action: 'proxy.subscribe.outcome',
        outcome: granted === undefined ? outcomeOfFailure(err) : 'success',
        detail: {
          topic: clip(topic),
          ...(granted === undefined
            ? failureDetail(err)
            : { granted_qos: granted, messages, bytes: payloadBytes, truncated: false }),
          duration_ms: Math.round(clock.monotonic() - ms),
        },
      }
      await recordBy({ audit, clock }, deadlineMs + OUTCOME_GRACE_MS, ...deniedDeliveries(base, deliveries), outcome)
    },
  }
}
