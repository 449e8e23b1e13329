import { LRUCache } from 'lru-cache'
import type { AuditEvent } from '../audit/audit.ts'
import type { Clock } from '../core/clock.ts'
import type { Integration } from '../integrations/integration.ts'
import type { ActivePolicy } from '../policies/active-policies.ts'
import type { Policies } from '../policies/policies.ts'
import type { AccessRequest, Decision } from '../policy/access.ts'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import { createSession, type PolicySession } from '../policy/decide.ts'
import type { Qos } from '../policy/document.ts'
import { explain, type TraceStep } from '../policy/explain.ts'
import { filterCovers } from '../policy/filter-sets.ts'
import type { Identity } from '../policy/identity.ts'
import { topicMatches } from '../policy/topic-matches.ts'
import { clip } from './audited.ts'

/** What policy or allow list say to one request, with the reasons. */
export interface Ruling {
  readonly allowed: boolean
  /** In words that complete "denied by policy: …". */
  readonly reason: string
  /** Id of the rule that decided. */
  readonly rule: string | null
  /** Forwarded, or requested of the broker. */
  readonly qos: Qos
  readonly retain: boolean
  /** Whom to ask about it; `null` for an allow list. */
  readonly policy: { readonly id: string; readonly revision: number | null } | null
  /** Members of an audit row that say how it was decided; empty for an allow list. */
  readonly record: NonNullable<AuditEvent['detail']>
  /** Of every rule or filter what became of it, a line each. */
  trace(): string[]
}

/** What one caller may do through one integration, as of now. */
export interface Access {
  publish(topic: string, qos: Qos, retain: boolean): Ruling
  subscribe(filter: string, qos: Qos): Ruling
  /** Whether a message may be handed to the caller; asked for every one, so it says no more than that and why not. */
  receive(topic: string): Delivery
}

export interface Delivery {
  readonly allowed: boolean
  readonly rule: string | null
  readonly reason: string
}

export type AccessOf = (integration: Integration, identity: Identity) => Promise<Access>

/** The filters that an integration without a policy allows: `config.topic` and `config.topics`. */
function allowListOf({ config }: Pick<Integration, 'config'>): readonly string[] {
  return config.topic === undefined ? config.topics : [config.topic, ...config.topics]
}

const NO_TOPIC = 'the integration names no topic; set config.topic or config.topics, or policy_id'

function createListAccess(integration: Integration): Access {
  const filters = allowListOf(integration)
  /** Starts at deny: one filter of the allow list has to say yes. */
  function rule(
    subject: string,
    qos: Qos,
    retain: boolean,
    says: (filter: string, subject: string) => boolean,
  ): Ruling {
    const allowed = filters.some((filter) => says(filter, subject))
    const words = allowed
      ? 'a filter of config.topic and config.topics covers it'
      : 'no filter of config.topic and config.topics covers it'
    return {
      allowed,
      reason: filters.length === 0 ? NO_TOPIC : words,
      rule: null,
      qos,
      retain,
      policy: null,
      record: {},
      trace: () =>
        filters.length === 0
          ? [NO_TOPIC]
          : filters.map((filter) => `${filter}: ${says(filter, subject) ? 'covers it' : 'does not cover it'}`),
    }
  }
  return {
    publish: (topic, qos, retain) => rule(topic, qos, retain, topicMatches),
    subscribe: (filter, qos) => rule(filter, qos, false, filterCovers),
    receive: (topic) => ({
      allowed: filters.some((filter) => topicMatches(filter, topic)),
      rule: null,
      reason: 'default',
    }),
  }
}

/** Every request is refused, because what should decide is not there. */
function createMissingAccess(policyId: string): Access {
  const reason = `the policy ${policyId} that the integration names is not there, or is not understood; set policy_id anew`
  const ruling: Ruling = {
    allowed: false,
    reason,
    rule: null,
    qos: 0,
    retain: false,
    policy: { id: policyId, revision: null },
    record: { policy_id: policyId, policy_reason: 'missing' },
    trace: () => [reason],
  }
  const delivery = { allowed: false, rule: null, reason: 'missing' }
  return { publish: () => ruling, subscribe: () => ruling, receive: () => delivery }
}

function words({ decision, reason, rule }: Decision, example: string | null): string {
  const named = rule === null ? '' : `rule ${JSON.stringify(rule)}`
  if (decision === 'allow') {
    if (rule === null) return 'the default of the policy allows it'
    return reason === 'filtered' ? `${named} allows it, and each delivery is checked` : `${named} allows it`
  }
  if (reason === 'rule') return `${named} denies it`
  if (reason === 'qos-exceeds') return `${named} allows it at a lower QoS only`
  if (reason === 'default') return 'no rule allows it'
  if (reason !== 'deny-overlap') return reason
  return `${named} denies some of what the filter reaches${example === null ? '' : `, ${example} for one`}`
}

function lineOf({ rule, effect, priority, applies, why, pattern, example }: TraceStep): string {
  const place = priority === 0 ? '' : ` at priority ${priority}`
  const what = applies ? 'applies' : `passed over: ${why}`
  const shown = pattern === null ? '' : `, ${pattern}`
  const seen = example === null ? '' : applies ? `, both reach ${example}` : `, which leaves out ${example}`
  return `${effect} ${rule}${place}: ${what}${shown}${seen}`
}

/** Callers whose sessions are kept for a policy. */
const MAX_SESSIONS = 256
const sessions = new WeakMap<CompiledPolicy, LRUCache<string, PolicySession>>()

/** The session of an identity, which one API key has from one address: what it remembers serves the next request. */
function sessionOf(compiled: CompiledPolicy, identity: Identity): PolicySession {
  let kept = sessions.get(compiled)
  if (!kept) {
    kept = new LRUCache({ max: MAX_SESSIONS })
    sessions.set(compiled, kept)
  }
  const key = JSON.stringify(identity)
  let session = kept.get(key)
  if (!session) {
    session = createSession(compiled, identity)
    kept.set(key, session)
  }
  return session
}

function createPolicyAccess({ policyId, revision, compiled }: ActivePolicy, identity: Identity, clock: Clock): Access {
  const session = sessionOf(compiled, identity)
  function rule(request: AccessRequest): Ruling {
    const startedMs = clock.monotonic()
    const decision = session.decide(request)
    const micros = Math.round((clock.monotonic() - startedMs) * 1_000)
    const by = session.decidingPattern(request)
    return {
      allowed: decision.decision === 'allow',
      reason: words(decision, by?.example ?? null),
      rule: decision.rule,
      qos: decision.qos ?? request.qos ?? 0,
      retain: decision.retain ?? request.retain ?? false,
      policy: { id: policyId, revision },
      record: {
        policy_id: policyId,
        policy_revision: revision,
        policy_reason: decision.reason,
        ...(decision.rule !== null && { rule: decision.rule }),
        ...(by && { pattern: clip(by.pattern) }),
        decision_us: micros,
      },
      trace: () => explain(compiled, identity, request).map(lineOf),
    }
  }
  return {
    publish: (topic, qos, retain) => rule({ action: 'publish', topic, qos, retain }),
    subscribe: (topic, qos) => rule({ action: 'subscribe', topic, qos }),
    receive(topic) {
      const { decision, rule: id, reason } = session.decide({ action: 'receive', topic })
      return { allowed: decision === 'allow', rule: id, reason }
    },
  }
}

/**
 * Says what a caller may do through an integration: its policy decides, or, where it names none, `config.topic` and
 * `config.topics`. A policy that is not there denies everything.
 *
 * Fails with `database.unavailable` when that cannot be known.
 */
export function createAccess({ policies, clock }: { policies: Pick<Policies, 'active'>; clock: Clock }): AccessOf {
  return async (integration, identity) => {
    const { policyId, tenantId } = integration
    if (policyId === null) return createListAccess(integration)
    const active = await policies.active(tenantId, policyId)
    return active ? createPolicyAccess(active, identity, clock) : createMissingAccess(policyId)
  }
}
