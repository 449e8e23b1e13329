import type { Audit, AuditEvent } from '../audit/audit.ts'
import { createRefusalSummary } from '../audit/refusal-summary.ts'
import type { Clock } from '../core/clock.ts'
import { NO_TENANT } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import type { Answer, Question, Want } from './dialect.ts'

/** Whose hook it is, for the chain of whose tenant the rows go into. */
export interface HookPlace {
  readonly hook: string
  readonly tenantId: string
}

export interface Notes {
  /** Of every answer; at once, and never fails. `question` is absent where none was understood. */
  tell(place: HookPlace, question: Question | undefined, answer: Answer): void
  /** Answers by hook, question and outcome since the start. */
  counts(): readonly { hook: string; question: string; outcome: string; count: number }[]
  /** Writes the rows of the minutes that are over. */
  flush(): Promise<void>
  /** As `flush`, the minute that runs included. */
  close(): Promise<void>
}

/** Refused wants that are recorded one by one, for a hook and minute; all are counted. */
const SAMPLES_A_MINUTE = 20
const MINUTE_MS = 60_000
/** Rows that wait while the audit log is away; beyond that new ones are only counted. */
const MAX_WAITING = 1_000
const MAX_TEXT = 256

const short = (text: string | undefined) => (text === undefined ? null : text.slice(0, MAX_TEXT).toWellFormed())

/** What an answer came to, in a word of a closed list. */
export function outcomeOf(answer: Answer): string {
  switch (answer.kind) {
    case 'access':
      if (answer.session === 'none') return 'no-session'
      return answer.verdicts.length > 0 && answer.verdicts.every(({ allowed }) => allowed) ? 'allowed' : 'denied'
    case 'refused':
      return `refused:${answer.reason}`
    case 'superuser':
      return answer.isSuperuser ? 'superuser' : 'no-superuser'
    case 'known':
      return answer.isKnown ? 'known' : 'unknown'
    case 'accepted':
    case 'malformed':
    case 'too-large':
    case 'stranger':
    case 'unavailable':
    case 'late':
      return answer.kind
  }
}

/** What happens for every message, or says nothing about anybody, is counted in the metrics alone. */
const unrecorded = new Set(['allowed', 'no-superuser', 'known'])
/** A success that the audit log has: somebody came in, or was told to be a superuser. */
const successes = new Set(['accepted', 'superuser'])

function summaryEvent(source: string, { count, minute }: { count: number; minute: string }): AuditEvent {
  const [tenantId = NO_TENANT, hook = 'others', question = 'others', answer = 'others'] = source.split(' ')
  return {
    tenantId: tenantId === 'others' ? NO_TENANT : tenantId,
    action: 'broker_auth.summary',
    outcome: successes.has(answer) ? 'success' : 'denied',
    actor: { id: 'system' },
    detail: { hook, question, answer, count, minute },
  }
}

function sampleEvent({ tenantId }: HookPlace, want: Want, answer: Answer & { kind: 'access' }): AuditEvent {
  const decision = answer.verdicts.at(-1)?.decision
  const { identity, policy } = answer.about ?? {}
  return {
    tenantId,
    action: 'policy.decision',
    outcome: 'denied',
    actor: { id: 'system' },
    detail: {
      action: want.action,
      topic: short(want.topic),
      qos: want.qos ?? null,
      retain: want.retain ?? null,
      decision: 'deny',
      reason: decision?.reason ?? 'no-capability',
      rule: decision?.rule ?? null,
      policy_id: policy?.id ?? null,
      policy_revision: policy?.revision ?? null,
      client_id: short(identity?.clientId),
      username: short(identity?.username),
      sub: short(identity?.sub),
      org: short(identity?.org),
      ip: identity?.ip ?? null,
      listener: short(identity?.listener),
      protocol: identity?.protocol ?? null,
      auth: identity?.auth ?? null,
      sampled: true,
    },
  }
}

/**
 * Keeps what brokers were told: counters of everything; in the audit log one row for each hook, outcome and minute, and the
 * first refused wants of each minute by themselves.
 */
export function createNotes({ audit, clock, log }: { audit: Audit; clock: Clock; log: Log }): Notes {
  const counters = new Map<string, { hook: string; question: string; outcome: string; count: number }>()
  const summary = createRefusalSummary({ audit, clock, eventOf: summaryEvent })
  const sampled = new Map<string, { minute: number; count: number }>()
  let waiting: AuditEvent[] = []

  function sample(
    place: HookPlace,
    question: Question & { kind: 'access' },
    answer: Answer & { kind: 'access' },
  ): void {
    const want = question.wants[answer.verdicts.findIndex(({ allowed }) => !allowed)]
    const minute = Math.floor(clock.now() / MINUTE_MS)
    const before = sampled.get(place.hook)
    const count = before?.minute === minute ? before.count : 0
    if (want === undefined || count >= SAMPLES_A_MINUTE || waiting.length >= MAX_WAITING) return
    sampled.set(place.hook, { minute, count: count + 1 })
    waiting.push(sampleEvent(place, want, answer))
  }

  async function writeSamples(): Promise<void> {
    const some = waiting
    waiting = []
    // Rows of one call belong to one tenant: the audit log shares its queue among them.
    for (const [tenantId, events] of Map.groupBy(some, (event) => event.tenantId)) {
      await audit.record(...events).catch((err: unknown) => {
        log.warn(
          { tenant_id: tenantId, rows: events.length, code: (err as { code?: unknown }).code },
          'samples of refused wants were not recorded; they are counted in the summaries',
        )
      })
    }
  }

  return {
    tell(place, question, answer) {
      const kind = question?.kind ?? 'none'
      const outcome = outcomeOf(answer)
      const key = `${place.tenantId} ${place.hook} ${kind} ${outcome}`
      const counter = counters.get(key)
      if (counter) counter.count++
      else counters.set(key, { hook: place.hook, question: kind, outcome, count: 1 })
      if (unrecorded.has(outcome)) return
      summary.count(key)
      if (question?.kind === 'access' && answer.kind === 'access' && answer.session === 'found')
        sample(place, question, answer)
    },
    counts: () => [...counters.values()],
    async flush() {
      await writeSamples()
      await summary.flush()
    },
    async close() {
      await writeSamples()
      await summary.close()
    },
  }
}
