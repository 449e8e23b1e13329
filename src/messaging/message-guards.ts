import { LRUCache } from 'lru-cache'
import type { AuditEvent } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { createGuards, type Guards, type GuardsDeps } from '../guards/create-guards.ts'
import { severities } from '../guards/guards-config.ts'
import type { GuardedMessage, Refusal } from '../guards/outcome.ts'
import type { Integration } from '../integrations/integration.ts'
import type { Qos } from '../policy/document.ts'
import type { Identity } from '../policy/identity.ts'
import { clip } from './audited.ts'

/** The guards of an integration; `null` where it has none. */
export type GuardsOf = (integration: Pick<Integration, 'id' | 'revision' | 'guards'>) => Guards | null

/** What the guards say to one message that the policy allows. */
export interface GuardVerdict {
  readonly refusal: AppError | null
  /** To forward with. */
  readonly qos: Qos
  readonly retain: boolean
  /** Members of an audit row; empty when nothing was found. */
  readonly record: NonNullable<AuditEvent['detail']>
  /** What was found, in words; `null` for nothing. */
  readonly words: string | null
}

/** Integrations whose buckets are kept; the one that published longest ago starts with full buckets again. */
const MAX_GUARDED = 10_000

/** What an error is and where it came from; its message may quote what the guard read, and is left out. */
function causeOf(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause
  const frames = (cause.stack ?? '').split('\n').filter((line) => line.startsWith('    at '))
  return [cause.name, ...frames.slice(0, 8)].join('\n')
}

/**
 * Keeps guards, whose buckets fill and empty, for as long as the integration keeps its limits. They are of this process.
 * What goes wrong in a guard is logged, whether it refuses the message or, with `fail-open`, lets it through.
 */
export function createGuardRegistry({ clock, log }: { clock: Clock; log: Pick<Log, 'error'> }): GuardsOf {
  const known = new LRUCache<string, { revision: number; guards: Guards }>({ max: MAX_GUARDED })
  return ({ id, revision, guards: config }) => {
    if (config === null) return null
    const last = known.get(id)
    if (last?.revision === revision) return last.guards
    const failed: GuardsDeps['failed'] = (guard, cause) =>
      log.error({ integration_id: id, guard: sections[guard], cause: causeOf(cause) }, 'a guard failed')
    const guards = createGuards(config, { clock, failed }, last?.guards)
    known.set(id, { revision, guards })
    return guards
  }
}

/** The sections of the document that guards are named by. */
const sections = { rate: 'rate-limit', qos: 'qos', retained: 'retained', inspection: 'inspection' } as const

function describe({ guard, reason }: Refusal): string {
  return `${sections[guard]}: ${reason}`
}

function errorOf(refusal: Refusal): AppError {
  const { guard, rule, reason, limit, class: found, classes, retryAfterS, cause } = refusal
  return new AppError('guard.refused', `Refused by the guard ${describe(refusal)}.`, {
    details: {
      guard: sections[guard],
      rule,
      reason,
      ...(limit !== undefined && { limit }),
      ...(found !== undefined && { class: found, classes }),
    },
    ...(retryAfterS !== undefined && { retryAfterS }),
    ...(cause !== undefined && { cause }),
  })
}

/** Members for all that was found; what refused the message, or else what was found first, stands first and is named. */
function recordOf(found: readonly [Refusal, ...Refusal[]], isRefused: boolean): GuardVerdict['record'] {
  const [first] = found
  const classes = new Set(found.flatMap((one) => one.classes ?? []))
  const limit = found.find((one) => one.limit !== undefined)?.limit
  const severity = severities.findLast((level) => found.some((one) => one.severity === level))
  return {
    guard: sections[first.guard],
    ...(classes.size > 0 && { guard_class: clip([...classes].join(',')) }),
    tags: isRefused ? `mqtt,blocked,${first.rule}` : 'mqtt,detect-only',
    rule_ids: [...new Set(found.map(({ rule }) => rule))].join(','),
    reason: clip(found.map(describe).join('; ')),
    ...(limit !== undefined && { limit: clip(limit) }),
    ...(severity !== undefined && { severity }),
    refused: isRefused,
  }
}

/**
 * Judges a message that the policy allows. A dry run is judged the same way, but pays no tokens.
 *
 * For `key-by`, a REST caller is its API key and its address; it has no user name.
 */
export function guardPublish(
  guards: Guards | null,
  message: GuardedMessage,
  { clientId, ip }: Identity,
  { dryRun }: { dryRun: boolean },
): GuardVerdict {
  const { qos, retain } = message
  if (guards === null) return { refusal: null, qos, retain, record: {}, words: null }
  const caller = { ...(clientId !== undefined && { clientId }), ...(ip !== undefined && { ip }) }
  const outcome = guards.checkPublish(message, caller, { dryRun })
  const [first, ...others] = outcome.refusal ? [outcome.refusal, ...outcome.findings] : outcome.findings
  return {
    refusal: outcome.refusal && errorOf(outcome.refusal),
    qos: outcome.qos,
    retain: outcome.retain,
    record: first ? recordOf([first, ...others], outcome.refusal !== null) : {},
    words: first ? describe(first) : null,
  }
}

/** The QoS to ask the broker for. */
export function guardSubscribe(guards: Guards | null, filter: string, qos: Qos): Qos {
  return guards === null ? qos : guards.checkSubscribe(filter, qos)
}
