import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import type { Bytes } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import { rejected } from '../outbound/dial-errors.ts'
import type { Identity } from '../policy/identity.ts'
import { validateTopicName } from '../policy/topic-name.ts'
import type { Access, AccessOf, Ruling } from './access.ts'
import { clip, failureDetail, recordBy } from './audited.ts'
import type { OutgoingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { type GuardsOf, guardPublish } from './message-guards.ts'
import {
  assertOperationAllowed,
  createAccessNow,
  type DryRun,
  deniedByPolicy,
  dryRunOf,
  outcomeOfFailure,
} from './permission.ts'
import type { Pool } from './pool.ts'
import { reasonCodes, reasonName } from './reason-codes.ts'
import type { PublishOutcome } from './write-message.ts'

export interface PublishCommand {
  readonly caller: Caller
  /** Who asks, as policies see it. */
  readonly identity: Identity
  readonly integration: Integration
  readonly messageId: string
  /** Default: `config.topic`. */
  readonly topic?: string | undefined
  readonly payload: Bytes
  /** Default: `config.qos`. */
  readonly qos?: Qos | undefined
  readonly retain?: boolean | undefined
  /** On the monotonic clock. */
  readonly deadlineMs: number
  /** Reserves the signature of the answer, or throws: nothing is sent that could not be answered. */
  readonly admit: () => void
  readonly dryRun?: boolean | undefined
}

/** The answer as it goes to the caller, with QoS and retain as they were forwarded. */
export interface PublishResult {
  outcome: 'acknowledged' | 'sent'
  no_subscribers?: true
  message_id: string
  integration_id: string
  topic: string
  qos: Qos
  retain: boolean
  reason_code: number | null
  sent_at: string
  acknowledged_at: string | null
}

export interface PublishDeps {
  readonly pool: Pick<Pool, 'publish'>
  readonly integrations: Pick<Integrations, 'find'>
  readonly accessOf: AccessOf
  readonly guardsOf: GuardsOf
  readonly audit: Audit
  readonly clock: Clock
}

/** What is answered, and when it may be: not before `recorded` resolves. Work that says nothing yet can begin meanwhile. */
export interface Published<Result> {
  readonly result: Result
  /** The outcome row is committed; rejects with `outcome.unknown` when it could not be. */
  readonly recorded: Promise<void>
}

export type Publish = (command: PublishCommand) => Promise<Published<PublishResult | DryRun>>

/** Time that the outcome row may take beyond the caller's deadline. */
const OUTCOME_GRACE_MS = 200

function messageOf({ integration, messageId, payload, ...command }: PublishCommand): OutgoingMessage {
  const { config } = integration
  const topic = command.topic ?? config.topic
  if (topic === undefined) {
    throw new AppError('request.invalid', 'payload.topic: name a topic, or set config.topic of the integration.')
  }
  const problem = validateTopicName(topic, { maxBytes: config.limits.maxTopicBytes })
  if (problem !== undefined) throw new AppError('request.invalid', `payload.topic: ${problem}.`)
  const { maxPayloadBytes } = config.limits
  if (payload.length > maxPayloadBytes) {
    throw new AppError(
      'request.too_large',
      `payload.message: longer than limits.max_payload_bytes (${maxPayloadBytes}).`,
    )
  }
  return { topic, payload, qos: command.qos ?? config.qos, retain: command.retain ?? false, messageId }
}

function unknownOutcome(messageId: string, cause?: unknown): AppError {
  return new AppError(
    'outcome.unknown',
    'The message may have been delivered: it left, and no acknowledgement was seen in time.',
    { details: { message_id: messageId }, cause },
  )
}

function resultOf(
  { integration }: PublishCommand,
  { messageId, topic, qos, retain }: OutgoingMessage,
  { delivery, sentAtMs }: PublishOutcome,
  nowMs: number,
): PublishResult {
  if (delivery.state === 'unknown') throw unknownOutcome(messageId)
  if (delivery.state === 'refused') {
    const reason = reasonName(delivery.reasonCode)
    throw rejected(`The broker refused the message: ${reason}.`, reason, delivery.reasonCode)
  }
  const acknowledged = delivery.state === 'acknowledged'
  return {
    outcome: delivery.state,
    ...(acknowledged && delivery.reasonCode === reasonCodes.noMatchingSubscribers && { no_subscribers: true }),
    message_id: messageId,
    integration_id: integration.id,
    topic,
    qos,
    retain,
    reason_code: acknowledged ? delivery.reasonCode : null,
    sent_at: new Date(sentAtMs).toISOString(),
    acknowledged_at: acknowledged ? new Date(nowMs).toISOString() : null,
  }
}

/** Of what the caller awaits: a refusal that is answered first must not leave a rejection that nobody handles. */
function awaited(recorded: Promise<void>): Promise<void> {
  recorded.catch(() => undefined)
  return recorded
}

/** What was asked for, and where policy or guards changed it, what is forwarded. */
function saidOf({ topic, qos, retain, payload }: OutgoingMessage, forwarded: { qos: Qos; retain: boolean }) {
  return {
    topic: clip(topic),
    qos,
    retain,
    payload_bytes: payload.length,
    ...(forwarded.qos !== qos && { forwarded_qos: forwarded.qos }),
    ...(forwarded.retain !== retain && { forwarded_retain: forwarded.retain }),
  }
}

/** What is asked again was answered with less than is forwarded: it is not the message that would be allowed now. */
const LOWERED = 'it changed while the message waited for its connection, and allows a lower QoS or no retain flag'

/** Judges once more what is about to be forwarded as `message`; guards are not asked again, they have counted it. */
function judgeAgain(access: Access, asked: OutgoingMessage, message: OutgoingMessage): Ruling {
  const ruling = access.publish(asked.topic, asked.qos, asked.retain)
  const lowered = message.qos > ruling.qos || (message.retain && !ruling.retain)
  return ruling.allowed && lowered ? { ...ruling, allowed: false, reason: LOWERED } : ruling
}

/**
 * Publishes one message. The order of the checks is the contract: allowed operation, topic, payload, policy or allow list,
 * guards, admission, intent on record, connection, after a wait allowed operation and policy or allow list once more,
 * PUBLISH, outcome on record.
 *
 * Fails with `operation.not_allowed`, `request.invalid`, `request.too_large`, `policy.denied`, `guard.refused` and what
 * `admit` throws before an intent is recorded, and with `database.unavailable` when the policy cannot be known; with
 * `audit.unavailable` and everything that `Pool.publish` throws when nothing was sent, which after a wait may again be that it
 * is not allowed, or `object.not_found`; with `broker.rejected` when the broker refused the message; with `outcome.unknown`
 * when it may have been delivered, also when it was and the outcome row could not be committed.
 */
export function createPublish({ pool, integrations, accessOf, guardsOf, audit, clock }: PublishDeps): Publish {
  const accessNow = createAccessNow({ integrations, accessOf })

  /** Records a refusal by policy; every one is, and none is answered before. */
  async function refuse(command: PublishCommand, said: ReturnType<typeof saidOf>, ruling: Ruling): Promise<never> {
    const { caller, integration, messageId, deadlineMs } = command
    if (ruling.policy) {
      await recordBy({ audit, clock }, deadlineMs, {
        ...caller,
        messageId,
        object: { kind: 'integration', id: integration.id },
        action: 'proxy.publish.denied',
        outcome: 'denied',
        detail: { ...said, ...ruling.record },
      })
    }
    throw deniedByPolicy(ruling)
  }

  return async function publish(command) {
    const { caller, identity, integration, messageId, deadlineMs, dryRun = false } = command
    assertOperationAllowed(integration, 'publish')
    const asked = messageOf(command)
    const askedMs = clock.monotonic()
    const access = await accessOf(integration, identity)
    const ruling = access.publish(asked.topic, asked.qos, asked.retain)
    if (!ruling.allowed && !dryRun) await refuse(command, saidOf(asked, asked), ruling)
    const allowed = { ...asked, qos: ruling.qos, retain: ruling.retain }
    const guarded = ruling.allowed ? guardPublish(guardsOf(integration), allowed, identity, { dryRun }) : null
    const message = guarded ? { ...allowed, qos: guarded.qos, retain: guarded.retain } : allowed
    const base = { ...caller, messageId, object: { kind: 'integration', id: integration.id } }
    const said = { ...saidOf(asked, message), ...ruling.record, ...guarded?.record }
    if (guarded?.refusal && !dryRun) {
      const row: AuditEvent = { ...base, action: 'proxy.publish.denied', outcome: 'denied', detail: said }
      await recordBy({ audit, clock }, deadlineMs, row)
      throw guarded.refusal
    }
    command.admit()

    const startedMs = clock.monotonic()
    const intended = { ...said, deadline_ms: Math.max(0, Math.round(deadlineMs - startedMs)) }
    const intent: AuditEvent = { ...base, action: 'proxy.publish.intent', outcome: 'success', detail: intended }
    const conclusion = (outcome: AuditEvent['outcome'], detail: AuditEvent['detail']): AuditEvent => ({
      ...base,
      action: 'proxy.publish.outcome',
      outcome,
      detail: {
        ...saidOf(asked, message),
        ...detail,
        duration_ms: Math.round(clock.monotonic() - startedMs),
      },
    })
    const record = (...events: AuditEvent[]) => recordBy({ audit, clock }, deadlineMs + OUTCOME_GRACE_MS, ...events)

    if (dryRun) {
      const guard = guarded?.words ? { refuses: guarded.refusal !== null, words: guarded.words } : null
      const result = dryRunOf('publish', asked.topic, { ...ruling, qos: message.qos, retain: message.retain }, guard)
      const dryIntent = { ...intent, detail: { ...intended, dry_run: true } }
      return {
        result,
        recorded: awaited(record(dryIntent, conclusion(result.allowed ? 'success' : 'denied', { outcome: 'dry_run' }))),
      }
    }

    await recordBy({ audit, clock }, deadlineMs, intent)
    const again: { record: Ruling['record'] } = { record: {} }
    const permission = {
      askedMs,
      async renew() {
        const now = judgeAgain(await accessNow(integration, identity, 'publish'), asked, message)
        again.record = now.record
        if (!now.allowed) throw deniedByPolicy(now)
      },
    }
    let result: PublishResult
    try {
      const outcome = await pool.publish(integration, message, deadlineMs, permission)
      result = resultOf(command, message, outcome, clock.now())
    } catch (err) {
      const failed = outcomeOfFailure(err)
      try {
        await record(conclusion(failed, { ...again.record, ...failureDetail(err) }))
      } catch (auditError) {
        if (failed !== 'unknown') throw auditError // nothing was delivered, and that is what audit.unavailable says
      }
      throw err
    }
    const { outcome, reason_code: reasonCode } = result
    const forwarded = { ...again.record, outcome, reason_code: reasonCode }
    const detail = { ...forwarded, ...(result.no_subscribers && { no_subscribers: true }) }
    const recorded = record(conclusion('success', detail)).catch((auditError: unknown) => {
      throw unknownOutcome(messageId, auditError) // it was sent: "nothing was sent" would be a lie
    })
    return { result, recorded: awaited(recorded) }
  }
}
