import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import { rejected, unreachable } from '../outbound/dial-errors.ts'
import type { Identity } from '../policy/identity.ts'
import { parseSubscriptionFilter, validateTopicFilter } from '../policy/topic-filter.ts'
import { topicMatches } from '../policy/topic-matches.ts'
import type { AccessOf, Ruling } from './access.ts'
import { clip, failureDetail, recordBy } from './audited.ts'
import type { Qos } from './broker-limits.ts'
import { EXPIRED, withDeadline } from './deadline.ts'
import { createDeliveryCheck, type DeliveryCheck } from './delivery-check.ts'
import { createGathering, type ReceivedMessage } from './gathering.ts'
import { type GuardsOf, guardSubscribe } from './message-guards.ts'
import {
  assertOperationAllowed,
  createAccessNow,
  type DryRun,
  deniedByPolicy,
  dryRunOf,
  outcomeOfFailure,
} from './permission.ts'
import type { CollectLease, Pool } from './pool.ts'
import { reasonName } from './reason-codes.ts'

export interface CollectCommand {
  readonly caller: Caller
  /** Who asks, as policies see it. */
  readonly identity: Identity
  readonly integration: Integration
  /** A topic filter; default: `config.topic`. */
  readonly topic?: string | undefined
  /** Default: `config.qos`. */
  readonly qos?: Qos | undefined
  /** Default 100. */
  readonly maxMessages?: number | undefined
  /** Counted from the broker's SUBACK. Default 5,000. */
  readonly waitMs?: number | undefined
  /** Of payloads together. Default 1 MiB. */
  readonly maxBytes?: number | undefined
  /** On the monotonic clock. */
  readonly deadlineMs: number
  readonly admit: () => void
  readonly dryRun?: boolean | undefined
}

/** The answer as it goes to the caller. */
export interface CollectResult {
  granted_qos: Qos
  messages: ReceivedMessage[]
  /** `max_messages`, `max_bytes` or the connection ended it, and not the time: there may have been more. */
  truncated: boolean
}

export interface CollectDeps {
  readonly pool: Pick<Pool, 'collector'>
  readonly integrations: Pick<Integrations, 'find'>
  readonly accessOf: AccessOf
  readonly guardsOf: GuardsOf
  readonly audit: Audit
  readonly clock: Clock
}

export type Collect = (command: CollectCommand) => Promise<CollectResult | DryRun>

const DEFAULT_MESSAGES = 100
const DEFAULT_WAIT_MS = 5_000
const DEFAULT_BYTES = 1_048_576
/** Time that the outcome row may take beyond the caller's deadline. */
const OUTCOME_GRACE_MS = 200
/** Time that the broker has to confirm an UNSUBSCRIBE; the connection is ended otherwise. */
const UNSUBSCRIBE_MS = 2_000

function filterOf({ integration, topic }: CollectCommand): string {
  const { config } = integration
  const filter = topic ?? config.topic
  if (filter === undefined) {
    throw new AppError('request.invalid', 'payload.topic: name a filter, or set config.topic of the integration.')
  }
  const problem = validateTopicFilter(filter, { maxBytes: config.limits.maxTopicBytes })
  if (problem !== undefined) throw new AppError('request.invalid', `payload.topic: ${problem}.`)
  return filter
}

/**
 * Collects messages: subscribes, gathers until enough came or the time is over, unsubscribes. The order of the checks
 * is that of publish. While it lasts, the integration and its policy or allow list are asked again every second: before
 * SUBSCRIBE, and for every message that comes, what they say then decides.
 *
 * Fails with `operation.not_allowed`, `request.invalid`, `policy.denied` and what `admit` throws before an intent is
 * recorded, and with `database.unavailable` when the policy cannot be known; then with `audit.unavailable`, everything that
 * `Pool.collector` and `DeliveryCheck.assertAllowed` throw, and `broker.rejected` for a refused subscription. A connection that ends after messages came
 * answers these as truncated.
 */
export function createCollect({ pool, integrations, accessOf, guardsOf, audit, clock }: CollectDeps): Collect {
  const accessNow = createAccessNow({ integrations, accessOf })

  async function gather(
    command: CollectCommand,
    deliveries: DeliveryCheck,
    filter: string,
    qos: Qos,
    lease: CollectLease,
  ) {
    const { maxMessages = DEFAULT_MESSAGES, maxBytes = DEFAULT_BYTES, waitMs = DEFAULT_WAIT_MS, deadlineMs } = command
    const { client } = lease
    const { filter: inner } = parseSubscriptionFilter(filter)
    const gathering = createGathering({ maxMessages, maxBytes }, () => clock.now())
    const stop = client.onMessage((message) => {
      if (!topicMatches(inner, message.topic)) return // another collect's
      if (deliveries.allow(message.topic)) gathering.add(message)
    })
    try {
      deliveries.assertAllowed()
      const code = await withDeadline(client.subscribe(filter, qos), deadlineMs, clock)
      if (code === EXPIRED) client.destroy()
      if (code === EXPIRED || code === null) throw unreachable(new Error('no SUBACK'))
      if (code >= 0x80)
        throw rejected(`The broker refused the subscription: ${reasonName(code)}.`, reasonName(code), code)
      const untilMs = Math.min(clock.monotonic() + waitMs, deadlineMs)
      await withDeadline(Promise.race([gathering.full, client.ended]), untilMs, clock)
      if (client.closed) {
        if (gathering.messages.length === 0) throw unreachable(new Error('the connection ended'))
        gathering.cut()
      }
      return { gathering, granted: code as Qos }
    } finally {
      stop()
    }
  }

  /** Ends the subscription before the connection may serve another collect. */
  async function giveBack({ client, release }: CollectLease, filter: string): Promise<void> {
    try {
      if (client.closed) return
      const confirmed = await withDeadline(client.unsubscribe(filter), clock.monotonic() + UNSUBSCRIBE_MS, clock)
      if (confirmed !== true) client.destroy()
    } catch {
      client.destroy() // it ended in the meantime
    } finally {
      release()
    }
  }

  async function collectFrom(command: CollectCommand, deliveries: DeliveryCheck, filter: string, qos: Qos) {
    const lease = await pool.collector(command.integration, filter, command.deadlineMs)
    try {
      return await gather(command, deliveries, filter, qos, lease)
    } finally {
      void giveBack(lease, filter)
    }
  }

  /** Records a refusal by policy; every one is, and none is answered before. */
  async function refuse(
    { caller, integration, deadlineMs }: CollectCommand,
    filter: string,
    qos: Qos,
    ruling: Ruling,
  ): Promise<never> {
    if (ruling.policy) {
      await recordBy({ audit, clock }, deadlineMs, {
        ...caller,
        object: { kind: 'integration', id: integration.id },
        action: 'proxy.subscribe.denied',
        outcome: 'denied',
        detail: { topic: clip(filter), qos, ...ruling.record },
      })
    }
    throw deniedByPolicy(ruling)
  }

  return async function collect(command) {
    const {
      caller,
      identity,
      integration,
      deadlineMs,
      maxMessages = DEFAULT_MESSAGES,
      waitMs = DEFAULT_WAIT_MS,
    } = command
    const { dryRun = false } = command
    assertOperationAllowed(integration, 'subscribe')
    const filter = filterOf(command)
    const asked = command.qos ?? integration.config.qos
    const askedMs = clock.monotonic()
    const access = await accessOf(integration, identity)
    const ruling = access.subscribe(filter, asked)
    if (!ruling.allowed && !dryRun) await refuse(command, filter, asked, ruling)
    const qos = guardSubscribe(guardsOf(integration), filter, ruling.qos)
    command.admit()
    const startedMs = clock.monotonic()
    const base = { ...caller, object: { kind: 'integration', id: integration.id } }
    const said = { topic: clip(filter), qos: asked, ...(qos !== asked && { forwarded_qos: qos }), ...ruling.record }
    const leftMs = Math.max(0, Math.round(deadlineMs - startedMs))
    const intended = { ...said, max_messages: maxMessages, wait_ms: waitMs, deadline_ms: leftMs }
    const intent: AuditEvent = { ...base, action: 'proxy.subscribe.intent', outcome: 'success', detail: intended }
    const conclusion = (outcome: AuditEvent['outcome'], detail: AuditEvent['detail']): AuditEvent => {
      const durationMs = Math.round(clock.monotonic() - startedMs)
      const full = { topic: said.topic, ...detail, duration_ms: durationMs }
      return { ...base, action: 'proxy.subscribe.outcome', outcome, detail: full }
    }
    const record = (...events: AuditEvent[]) => recordBy({ audit, clock }, deadlineMs + OUTCOME_GRACE_MS, ...events)

    if (dryRun) {
      const result = dryRunOf('subscribe', filter, { ...ruling, qos }, null)
      const dryIntent = { ...intent, detail: { ...intended, dry_run: true } }
      await record(dryIntent, conclusion(result.allowed ? 'success' : 'denied', { outcome: 'dry_run' }))
      return result
    }

    await recordBy({ audit, clock }, deadlineMs, intent)
    const renew = () => accessNow(integration, identity, 'subscribe')
    const granting = { access, policy: ruling.policy, askedMs }
    const deliveries = createDeliveryCheck(granting, renew, { filter, qos: asked }, clock)
    const denials = () =>
      deliveries.refused().map(({ topic, policy, rule, reason, count }): AuditEvent => {
        const by = policy && { policy_id: policy.id, policy_revision: policy.revision }
        const detail = { ...by, topic: clip(topic), rule, policy_reason: reason, refused: count }
        return { ...base, action: 'proxy.delivery', outcome: 'denied', detail }
      })
    let collected: Awaited<ReturnType<typeof collectFrom>>
    try {
      collected = await collectFrom(command, deliveries, filter, qos).finally(deliveries.stop)
    } catch (err) {
      await record(...denials(), conclusion(outcomeOfFailure(err), failureDetail(err)))
      throw err
    }
    const { gathering, granted } = collected
    const { messages, bytes, truncated } = gathering
    await record(
      ...denials(),
      conclusion('success', { granted_qos: granted, messages: messages.length, bytes, truncated }),
    )
    return { granted_qos: granted, messages, truncated }
  }
}
