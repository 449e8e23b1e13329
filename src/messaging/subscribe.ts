import type { Audit, AuditEvent, Caller } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Integrations } from '../integrations/integrations.ts'
import { unreachable } from '../outbound/dial-errors.ts'
import type { Identity } from '../policy/identity.ts'
import { parseSubscriptionFilter, validateTopicFilter } from '../policy/topic-filter.ts'
import { topicMatches } from '../policy/topic-matches.ts'
import type { AccessOf, Ruling } from './access.ts'
import { clip, failureDetail, OUTCOME_GRACE_MS, recordBy } from './audited.ts'
import type { Qos } from './broker-limits.ts'
import { withDeadline } from './deadline.ts'
import { createDeliveryCheck, type DeliveryCheck } from './delivery-check.ts'
import { createGathering, type Gathering, type ReceivedMessage } from './gathering.ts'
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
import { type AtOnceDeps, createRefuseAtOnce } from './refuse-at-once.ts'
import { deniedDeliveries, subscribeOn, unsubscribeFrom } from './subscription.ts'

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
  /**
   * There may have been more: `max_messages` or `max_bytes` ended it, a connection was lost meanwhile, or it was not known
   * for a while what is allowed.
   */
  truncated: boolean
}

export interface CollectDeps extends AtOnceDeps {
  readonly pool: Pick<Pool, 'collector' | 'assertHopeful'>
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
/** Those that one collect may lose, one after the other, before it gives up. */
const MAX_CONNECTIONS = 8

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
 * Fails with `operation.not_allowed`, `request.invalid`, `policy.denied` and what `admit` and `refuseAtOnce` throw before an
 * intent is recorded, and with `database.unavailable` when the policy cannot be known; then with `audit.unavailable`, everything that
 * `Pool.collector` and `DeliveryCheck.assertAllowed` throw, and `broker.rejected` for a refused subscription. Where no
 * other connection could be had for one that ended, what had come is answered as truncated.
 */
export function createCollect(deps: CollectDeps): Collect {
  const { pool, integrations, accessOf, guardsOf, audit, clock } = deps
  const accessNow = createAccessNow({ integrations, accessOf })
  const refuseAtOnce = createRefuseAtOnce(deps)

  /** Subscribes, and listens until `endMs` gives the time, the gathering is full or the connection has ended. */
  async function listen(
    lease: CollectLease,
    {
      filter,
      qos,
      deadlineMs,
      deliveries,
    }: { filter: string; qos: Qos; deadlineMs: number; deliveries: DeliveryCheck },
    gathering: Gathering,
    onGranted: (qos: Qos) => number,
  ): Promise<void> {
    const { client } = lease
    const { filter: inner } = parseSubscriptionFilter(filter)
    const stop = client.onMessage((message) => {
      if (!topicMatches(inner, message.topic)) return // another collect's
      if (deliveries.allow(message.topic)) gathering.add(message)
    })
    try {
      deliveries.assertAllowed()
      const untilMs = onGranted(await subscribeOn(client, filter, qos, { deadlineMs, clock }))
      const ended = Promise.withResolvers<void>() // `client.ended` would keep every collect that raced it
      const forget = client.onEnd(ended.resolve)
      await withDeadline(Promise.race([gathering.full, ended.promise]), untilMs, clock)
      forget()
    } finally {
      stop()
      void unsubscribeFrom(client, filter, clock).then(lease.release)
    }
  }

  /**
   * Gathers over as many connections as it takes: where one ends while a collect runs, what the broker had granted is
   * subscribed again on the next one, and the answer says that it may miss something.
   */
  async function gather(command: CollectCommand, deliveries: DeliveryCheck, filter: string, qos: Qos) {
    const { maxMessages = DEFAULT_MESSAGES, maxBytes = DEFAULT_BYTES, waitMs = DEFAULT_WAIT_MS } = command
    const gathering = createGathering({ maxMessages, maxBytes }, () => clock.now())
    let granted: Qos | undefined
    let { deadlineMs } = command
    const onGranted = (given: Qos) => {
      if (granted === undefined) deadlineMs = Math.min(clock.monotonic() + waitMs, deadlineMs)
      granted = given
      return deadlineMs
    }
    for (let connections = 1; ; connections++) {
      try {
        const lease = await pool.collector(command.integration, filter, deadlineMs)
        await listen(lease, { filter, qos, deadlineMs, deliveries }, gathering, onGranted)
        if (lease.client.closed && !gathering.isFull) {
          gathering.gap()
          if (connections < MAX_CONNECTIONS && clock.monotonic() < deadlineMs) continue
          throw unreachable(new Error('the connection ended'))
        }
      } catch (err) {
        if (granted === undefined || gathering.messages.length === 0) throw err
      }
      if (granted === undefined) throw new TypeError('nothing comes before the broker has granted it')
      return { gathering, granted }
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

    await refuseAtOnce(command)
    await recordBy({ audit, clock }, deadlineMs, intent)
    const renew = () => accessNow(integration, identity, 'subscribe')
    const granting = { access, policy: ruling.policy, askedMs }
    const deliveries = createDeliveryCheck(granting, renew, { filter, qos: asked }, clock)
    let collected: Awaited<ReturnType<typeof gather>>
    try {
      collected = await gather(command, deliveries, filter, qos).finally(deliveries.stop)
    } catch (err) {
      await record(...deniedDeliveries(base, deliveries), conclusion(outcomeOfFailure(err), failureDetail(err)))
      throw err
    }
    const { gathering, granted } = collected
    const { messages, bytes } = gathering
    const truncated = gathering.truncated || deliveries.missed
    await record(
      ...deniedDeliveries(base, deliveries),
      conclusion('success', { granted_qos: granted, messages: messages.length, bytes, truncated }),
    )
    return { granted_qos: granted, messages, truncated }
  }
}
