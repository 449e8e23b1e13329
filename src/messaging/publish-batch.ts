import type { AuditEvent } from '../audit/audit.ts'
import { unwatched } from '../core/crash-points.ts'
import { AppError } from '../core/errors.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Access, Ruling } from './access.ts'
import { failureDetail, OUTCOME_GRACE_MS, recordManyBy } from './audited.ts'
import { type BatchItem, type BatchResult, batchResultOf } from './batch-result.ts'
import type { OutgoingMessage } from './broker.ts'
import { encodeItemOutcomes, itemIdOf } from './item-outcomes.ts'
import { type Judged, judgeAgain, judgedDetail, judgeMessage, type MessageInput, outgoingOf } from './judge-message.ts'
import { propertiesBytes, utf8Bytes } from './message-properties.ts'
import { unknownOutcome } from './outcome-errors.ts'
import { assertOperationAllowed, createAccessNow, type DryRun, deniedByPolicy } from './permission.ts'
import type { Pool } from './pool.ts'
import { awaited, type PublishCommand, type PublishDeps, type Published } from './publish.ts'
import { createRefuseAtOnce } from './refuse-at-once.ts'
import { createTurns } from './turns.ts'
import type { WrittenItem } from './write-batch.ts'

export interface BatchCommand extends Omit<PublishCommand, keyof MessageInput> {
  /** 1 to 1,000, in order. */
  readonly items: readonly MessageInput[]
}

/** What a dry run of a batch answers: the decision of every item, without its trace. */
export interface BatchDryRun extends Pick<DryRun, 'dry_run' | 'policy_id' | 'policy_revision'> {
  operation: 'publish'
  /** Whether every item is. */
  allowed: boolean
  items: (Pick<DryRun, 'allowed' | 'qos' | 'retain' | 'reason' | 'rule' | 'guard'> & { index: number })[]
}

export type PublishBatch = (command: BatchCommand) => Promise<Published<BatchResult | BatchDryRun>>

/**
 * Topics and properties of all items together, with the defaults: said once in the request, a default is judged, encoded
 * and sent a thousand times.
 */
const MAX_HEAD_BYTES = 1_048_576

/** What the row says that closes a batch; items that were denied have rows of their own. */
function auditOutcomeOf(items: readonly BatchItem[]): AuditEvent['outcome'] {
  const has = (...outcomes: BatchItem['outcome'][]) => items.some(({ outcome }) => outcomes.includes(outcome))
  if (has('unknown')) return 'unknown'
  if (has('rejected', 'unavailable')) return 'failure'
  return has('acknowledged', 'sent') ? 'success' : 'denied'
}

function dryRunOfBatch(judged: readonly Judged[]): BatchDryRun {
  const policy = judged[0]?.ruling.policy
  return {
    dry_run: true,
    allowed: judged.every(({ refusal }) => refusal === null),
    operation: 'publish',
    policy_id: policy?.id ?? null,
    policy_revision: policy?.revision ?? null,
    items: judged.map(({ ruling, guarded, refusal }, index) => {
      const { qos, retain } = guarded ?? ruling
      const { reason, rule } = ruling
      return { index, allowed: refusal === null, qos, retain, reason, rule, guard: guarded?.words ?? null }
    }),
  }
}

/**
 * Makes the messages that are asked for, as `outgoingOf` makes each.
 *
 * @throws {AppError} what that throws, and `request.too_large` for more than `MAX_HEAD_BYTES`
 */
function askedOf(integration: Integration, messageId: string, items: readonly MessageInput[]): OutgoingMessage[] {
  let headBytes = 0
  return items.map((item, index) => {
    const message = outgoingOf(integration, itemIdOf(messageId, index), item, `payload.messages[${index}]`)
    headBytes += utf8Bytes(message.topic) + (message.properties ? propertiesBytes(message.properties) : 0)
    if (headBytes <= MAX_HEAD_BYTES) return message
    throw new AppError(
      'request.too_large',
      `payload.messages[${index}]: up to here, topics and properties, with their defaults, come to more than ${MAX_HEAD_BYTES} bytes.`,
    )
  })
}

/**
 * Publishes messages in order on one connection, and says of each what became of it. The checks are those of `publish`, in
 * its order: what is malformed refuses the whole; policy or allow list and guards are asked for every item, and what they
 * refuse does not hold up the others. One admission, one intent and one outcome on record, and a row for every item that
 * was denied.
 *
 * Fails as `publish` does until its intent is on record. That a broker is known to be away, and all that comes after, is a
 * result, also where nothing went out (`failureOfBatch`); what fails then is the record of the outcome: `outcome.unknown`
 * where something may have gone out, else `audit.unavailable`.
 */
export function createPublishBatch(
  deps: Omit<PublishDeps, 'pool'> & { readonly pool: Pick<Pool, 'publishBatch' | 'assertHopeful'> },
): PublishBatch {
  const { pool, accessOf, guardsOf, clock, reached = unwatched, onLate } = deps
  const accessNow = createAccessNow(deps)
  const refuseAtOnce = createRefuseAtOnce(deps)

  async function judgeAll({ integration, identity, messageId, items, dryRun = false }: BatchCommand) {
    const asked = askedOf(integration, messageId, items)
    reached('allowed')
    const askedMs = clock.monotonic()
    const judges = { access: await accessOf(integration, identity), guards: guardsOf(integration), identity, dryRun }
    const judged: Judged[] = []
    const turn = createTurns(clock)
    for (const message of asked) {
      const turning = turn()
      if (turning) await turning
      judged.push(judgeMessage(judges, message))
    }
    return { askedMs, judged }
  }

  /** Writes what may be sent, once the intent is on record; `onJudged` hears of what was judged again by then, maybe twice. */
  async function writeAll(
    { integration, identity, deadlineMs, beforeSending }: BatchCommand,
    askedMs: number,
    going: readonly Judged[],
    onJudged: (one: Judged, ruling: Ruling) => void,
  ): Promise<readonly WrittenItem[]> {
    let now: Access | undefined
    const permission = {
      askedMs,
      async renew() {
        now = await accessNow(integration, identity, 'publish')
      },
    }
    const assertAllowed = (place: number) => {
      const one = going[place]
      if (!now || !one) return
      const again = judgeAgain(now, one)
      onJudged(one, again)
      if (!again.allowed) throw deniedByPolicy(again)
    }
    try {
      await beforeSending?.()
      const batch = { messages: going.map(({ message }) => message), assertAllowed }
      return await pool.publishBatch(integration, batch, deadlineMs, permission)
    } catch (err) {
      if (err instanceof AppError) return going.map(() => ({ error: err })) // nothing was sent
      throw err
    }
  }

  /** What is known of items whose caller is told `unknown`, because the row that says so could not be committed. */
  function tellLate(
    { caller, integration }: BatchCommand,
    going: readonly Judged[],
    written: readonly WrittenItem[],
  ): void {
    const ids = { tenantId: caller.tenantId, integrationId: integration.id }
    for (const [place, { message }] of going.entries()) {
      const item = written[place]
      if (!item || 'error' in item || item.delivery.state === 'unknown') continue
      onLate?.({ ...ids, messageId: message.messageId, topic: message.topic, delivery: item.delivery })
    }
  }

  return async function publishBatch(command) {
    const { caller, integration, messageId, deadlineMs, items, dryRun = false } = command
    assertOperationAllowed(integration, 'publish')
    const { askedMs, judged } = await judgeAll(command)
    const going = judged.filter(({ refusal }) => refusal === null)
    const base = { ...caller, messageId, object: { kind: 'integration', id: integration.id } }
    const denial = (one: Judged, again?: Ruling): AuditEvent => ({
      ...base,
      messageId: one.asked.messageId,
      action: 'proxy.publish.denied',
      outcome: 'denied',
      detail: { ...judgedDetail(one), ...again?.record },
    })
    const denials = judged.filter(({ refusal }) => refusal !== null).map((one) => denial(one))
    /** `written` are those of `going`, in their order. */
    const resultOf = (written: readonly WrittenItem[]): BatchResult => {
      const next = written.values()
      const ends = judged.map(({ refusal }) => (refusal ? { error: refusal } : (next.next().value as WrittenItem)))
      return batchResultOf({ messageId, integrationId: integration.id }, judged, ends, clock.now())
    }
    if (going.length === 0 && !dryRun) {
      await recordManyBy(deps, deadlineMs, denials)
      return { result: resultOf([]), recorded: Promise.resolve() }
    }
    reached('judged')
    command.admit()
    reached('admitted')

    const startedMs = clock.monotonic()
    const said = { items: items.length, payload_bytes: items.reduce((sum, { payload }) => sum + payload.length, 0) }
    const intended = { ...said, deadline_ms: Math.max(0, Math.round(deadlineMs - startedMs)) }
    const intent: AuditEvent = {
      ...base,
      action: 'proxy.publish.intent',
      outcome: 'success',
      detail: { ...intended, ...(dryRun && { dry_run: true }) },
    }
    const conclusion = (outcome: AuditEvent['outcome'], detail: AuditEvent['detail']): AuditEvent => ({
      ...base,
      action: 'proxy.publish.outcome',
      outcome,
      detail: {
        ...said,
        ...detail,
        ...(command.clientGone?.() && { client_gone: true }),
        duration_ms: Math.round(clock.monotonic() - startedMs),
      },
    })
    const record = (...events: AuditEvent[]) => recordManyBy(deps, deadlineMs + OUTCOME_GRACE_MS, events)

    if (dryRun) {
      const result = dryRunOfBatch(judged)
      const closing = conclusion(result.allowed ? 'success' : 'denied', { outcome: 'dry_run' })
      return { result, recorded: awaited(record(intent, closing)) }
    }

    if (denials.length === 0) {
      try {
        await refuseAtOnce(command)
      } catch (err) {
        if (!(err instanceof AppError)) throw err
        return { result: resultOf(going.map(() => ({ error: err }))), recorded: Promise.resolve() }
      }
    }
    await recordManyBy(deps, deadlineMs, [...denials, intent])
    reached('intended')
    const deniedLate = new Map<Judged, AuditEvent>()
    let written: readonly WrittenItem[]
    try {
      written = await writeAll(command, askedMs, going, (one, ruling) => {
        if (ruling.allowed) deniedLate.delete(one)
        else deniedLate.set(one, denial(one, ruling))
      })
    } catch (err) {
      // A mistake of ours: nothing is known, and that is what is thrown, whether it can be recorded or not.
      await record(conclusion('unknown', failureDetail(err))).catch(() => undefined)
      throw err
    }
    const result = resultOf(written)
    const failed = result.items.find(({ index, error }) => error && judged[index]?.refusal === null)
    const closing = conclusion(auditOutcomeOf(result.items), {
      ...(failed && failureDetail(failed.error)),
      outcome: result.outcome,
      item_outcomes: encodeItemOutcomes(result.items.map(({ outcome }) => outcome)),
    })
    const mayBeOut = written.some((item) => 'delivery' in item && item.delivery.state !== 'refused')
    const recorded = record(...deniedLate.values(), closing).then(
      () => reached('recorded'),
      (auditError: unknown) => {
        if (!mayBeOut) throw auditError
        tellLate(command, going, written)
        throw unknownOutcome(messageId, auditError)
      },
    )
    return { result, recorded: awaited(recorded) }
  }
}
