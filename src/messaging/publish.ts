import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { type Reached, unwatched } from '../core/crash-points.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import type { Identity } from '../policy/identity.ts'
import type { AccessOf, Ruling } from './access.ts'
import { failureDetail, OUTCOME_GRACE_MS, recordBy } from './audited.ts'
import type { OutgoingMessage } from './broker.ts'
import type { Qos } from './broker-limits.ts'
import { judgeAgain, judgedDetail, judgeMessage, type MessageInput, outgoingOf, saidOf } from './judge-message.ts'
import type { LateOutcome } from './late-outcomes.ts'
import type { GuardsOf } from './message-guards.ts'
import { refusedByBroker, unknownOutcome } from './outcome-errors.ts'
import {
  assertOperationAllowed,
  createAccessNow,
  type DryRun,
  deniedByPolicy,
  dryRunOf,
  outcomeOfFailure,
} from './permission.ts'
import type { Pool } from './pool.ts'
import { reasonCodes } from './reason-codes.ts'
import { type AtOnceDeps, createRefuseAtOnce } from './refuse-at-once.ts'
import type { PublishOutcome } from './write-message.ts'

export interface PublishCommand extends MessageInput {
  readonly caller: Caller
  /** Who asks, as policies see it. */
  readonly identity: Identity
  readonly integration: Integration
  readonly messageId: string
  /** Awaited when the intent is on record and nothing is sent yet; what it throws is why nothing is. */
  readonly beforeSending?: (() => Promise<void>) | undefined
  /** On the monotonic clock. */
  readonly deadlineMs: number
  /** Reserves the signature of the answer, or throws: nothing is sent that could not be answered. */
  readonly admit: () => void
  /** Whether the caller has hung up by now; it is put on record. */
  readonly clientGone?: () => boolean
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

export interface PublishDeps extends AtOnceDeps {
  readonly pool: Pick<Pool, 'publish' | 'assertHopeful'>
  readonly integrations: Pick<Integrations, 'find'>
  readonly accessOf: AccessOf
  readonly guardsOf: GuardsOf
  readonly audit: Audit
  readonly clock: Clock
  readonly reached?: Reached
  /** Is told of a message that the broker has, and whose caller is told `unknown` because the record failed. */
  readonly onLate?: (late: LateOutcome) => void
}

/** What is answered, and when it may be: not before `recorded` resolves. Work that says nothing yet can begin meanwhile. */
export interface Published<Result> {
  readonly result: Result
  /** The outcome row is committed; rejects with `outcome.unknown` when it could not be. */
  readonly recorded: Promise<void>
}

export type Publish = (command: PublishCommand) => Promise<Published<PublishResult | DryRun>>

function resultOf(
  { integration }: PublishCommand,
  { messageId, topic, qos, retain }: OutgoingMessage,
  { delivery, sentAtMs }: PublishOutcome,
  nowMs: number,
): PublishResult {
  if (delivery.state === 'unknown') throw unknownOutcome(messageId)
  if (delivery.state === 'refused') throw refusedByBroker(delivery.reasonCode)
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
export function awaited(recorded: Promise<void>): Promise<void> {
  recorded.catch(() => undefined)
  return recorded
}

/**
 * Publishes one message. The order of the checks is the contract: allowed operation, topic, payload, policy or allow list,
 * guards, admission, what the breaker remembers, intent on record, connection, after a wait allowed operation and policy or
 * allow list once more, PUBLISH, outcome on record.
 *
 * Fails with `operation.not_allowed`, `request.invalid`, `request.too_large`, `policy.denied`, `guard.refused` and what
 * `admit` and `refuseAtOnce` throw before an intent is recorded, and with `database.unavailable` when the policy cannot be
 * known; with `audit.unavailable` and everything that `Pool.publish` throws when nothing was sent, which after a wait may
 * again be that it is not allowed, or `object.not_found`; with `broker.rejected` when the broker refused the message; with `outcome.unknown`
 * when it may have been delivered, also when it was and the outcome row could not be committed.
 */
export function createPublish(deps: PublishDeps): Publish {
  const { pool, integrations, accessOf, guardsOf, audit, clock, reached = unwatched, onLate } = deps
  const accessNow = createAccessNow({ integrations, accessOf })
  const refuseAtOnce = createRefuseAtOnce(deps)

  return async function publish(command) {
    const { caller, identity, integration, messageId, deadlineMs, dryRun = false } = command
    assertOperationAllowed(integration, 'publish')
    const asked = outgoingOf(integration, messageId, command)
    reached('allowed')
    const askedMs = clock.monotonic()
    const access = await accessOf(integration, identity)
    const judged = judgeMessage({ access, guards: guardsOf(integration), identity, dryRun }, asked)
    const { message, ruling, guarded, refusal } = judged
    const base = { ...caller, messageId, object: { kind: 'integration', id: integration.id } }
    const said = judgedDetail(judged)
    if (refusal && !dryRun) {
      if (ruling.policy || guarded) {
        const row: AuditEvent = { ...base, action: 'proxy.publish.denied', outcome: 'denied', detail: said }
        await recordBy({ audit, clock }, deadlineMs, row) // none is answered before
      }
      throw refusal
    }
    reached('judged')
    command.admit()
    reached('admitted')

    const startedMs = clock.monotonic()
    const intended = { ...said, deadline_ms: Math.max(0, Math.round(deadlineMs - startedMs)) }
    const intent: AuditEvent = { ...base, action: 'proxy.publish.intent', outcome: 'success', detail: intended }
    const conclusion = (outcome: AuditEvent['outcome'], detail: AuditEvent['detail']): AuditEvent => ({
      ...base,
      action: 'proxy.publish.outcome',
      outcome,
      detail: {
        ...saidOf(judged),
        ...detail,
        ...(command.clientGone?.() && { client_gone: true }),
        duration_ms: Math.round(clock.monotonic() - startedMs),
      },
    })
    const record = (...events: AuditEvent[]) => recordBy({ audit, clock }, deadlineMs + OUTCOME_GRACE_MS, ...events)

    if (dryRun) {
      const guard = guarded?.words ? { refuses: guarded.refusal !== null, words: guarded.words } : null
      const forwarded = guarded ? { ...ruling, qos: message.qos, retain: message.retain } : ruling
      const result = dryRunOf('publish', asked.topic, forwarded, guard)
      const dryIntent = { ...intent, detail: { ...intended, dry_run: true } }
      return {
        result,
        recorded: awaited(record(dryIntent, conclusion(result.allowed ? 'success' : 'denied', { outcome: 'dry_run' }))),
      }
    }

    await refuseAtOnce(command)
    await recordBy({ audit, clock }, deadlineMs, intent)
    reached('intended')
    const again: { record: Ruling['record'] } = { record: {} }
    const permission = {
      askedMs,
      async renew() {
        const now = judgeAgain(await accessNow(integration, identity, 'publish'), judged)
        again.record = now.record
        if (!now.allowed) throw deniedByPolicy(now)
      },
    }
    let result: PublishResult
    let delivery: PublishOutcome['delivery']
    try {
      if (command.beforeSending) await command.beforeSending()
      const written = await pool.publish(integration, message, deadlineMs, permission)
      delivery = written.delivery
      result = resultOf(command, message, written, clock.now())
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
    const recorded = record(conclusion('success', detail)).then(
      () => reached('recorded'),
      (auditError: unknown) => {
        if (delivery.state !== 'unknown')
          onLate?.({
            tenantId: caller.tenantId,
            integrationId: integration.id,
            messageId,
            topic: message.topic,
            delivery,
          })
        throw unknownOutcome(messageId, auditError) // it was sent: "nothing was sent" would be a lie
      },
    )
    return { result, recorded: awaited(recorded) }
  }
}
