import type { Qos } from '../policy/document.ts'
import { prepareAttacks } from './find-attacks.ts'
import type { GuardsConfig } from './guards-config.ts'
import { inspect } from './inspection.ts'
import type { Caller, GuardedMessage, GuardName, GuardOutcome, GuardRule, Refusal } from './outcome.ts'
import { QosGuard } from './qos.ts'
import { RateLimiter } from './rate.ts'
import { checkRetained, retainAvailable } from './retained.ts'

export interface GuardsDeps {
  readonly clock: { monotonic(): number }
  /** Instead of the document's own `block-mode`. */
  readonly blockMode?: boolean
  /** Is told every error of a guard's own, for the log. */
  readonly failed?: (guard: GuardName, cause: unknown) => void
}

export interface PublishOptions {
  /** A Will is not counted; everything else is judged like a PUBLISH. */
  readonly will?: boolean
  /** Judges in the same way, and charges nothing. */
  readonly dryRun?: boolean
}

/** The guards of one integration or gateway. */
export interface Guards {
  /** `false`: nothing is refused or changed, what would have been is found. */
  readonly blockMode: boolean
  /** What no message can be beyond: for a CONNACK. */
  readonly maxima: { readonly qos: Qos; readonly retain: boolean }
  /** Holds the buckets; guards that replace these take over those whose limit stays. */
  readonly rateLimiter: RateLimiter
  /** Judges a message that the policy allows, in the order rate, QoS, retained, inspection. */
  checkPublish(message: GuardedMessage, caller: Caller, options?: PublishOptions): GuardOutcome
  /** The QoS to ask the broker for, given the filter as the client sent it. */
  checkSubscribe(filter: string, qos: Qos): Qos
}

/** What happens to one message while it is judged. */
interface Judgement {
  readonly message: GuardedMessage
  readonly caller: Caller
  readonly will: boolean
  readonly dryRun: boolean
  qos: Qos
  readonly findings: Refusal[]
}

type Check = (judgement: Judgement) => Refusal | null

function internalError(rule: GuardRule, guard: GuardName, cause: unknown): Refusal {
  return { rule, guard, reason: 'the guard failed', cause }
}

/** Makes guards; `previous` are those that they replace. */
export function createGuards(config: GuardsConfig, deps: GuardsDeps, previous?: Guards): Guards {
  const { clock, blockMode = config.general.blockMode, failed } = deps
  const { failOpen } = config.general
  const rateLimiter = new RateLimiter(config, previous?.rateLimiter)
  const qosGuard = new QosGuard(config.qos)
  if (config.inspection.enabled) prepareAttacks(config.inspection.classes)

  /** Lets an error of the guard itself refuse the message, or with `fail-open` stay a finding. */
  const guarded =
    (rule: GuardRule, guard: GuardName, check: Check): Check =>
    (judgement) => {
      try {
        return check(judgement)
      } catch (err) {
        failed?.(guard, err)
        const refusal = internalError(rule, guard, err)
        if (!failOpen) return refusal
        judgement.findings.push(refusal)
        return null
      }
    }

  const rate: Check = ({ message, caller, will, dryRun }) =>
    config.rateLimit.enabled && !will
      ? rateLimiter.check(message.topic, message.payload.length, caller, clock.monotonic(), { charges: !dryRun })
      : null
  const qos: Check = (judgement) => {
    const judged = qosGuard.checkPublish(judgement.message.topic, judgement.message.qos)
    if (typeof judged === 'object') return judged
    judgement.qos = judged
    return null
  }
  const retained: Check = ({ message }) => checkRetained(config.retained, message)
  const inspection: Check = ({ message, findings }) => {
    const { classes, blocking, reason, severity } = inspect(config.inspection, message)
    if (classes[0] === undefined) return null
    const found: Refusal = {
      rule: 'inspection-blocked',
      guard: 'inspection',
      reason,
      class: classes[0],
      classes,
      ...(severity !== null && { severity }),
    }
    if (blocking !== null) return found
    findings.push(found)
    return null
  }
  const checks = [
    guarded('rate-limited', 'rate', rate),
    qos,
    retained,
    guarded('inspection-blocked', 'inspection', inspection),
  ]

  return {
    blockMode,
    maxima: blockMode ? { qos: qosGuard.highest, retain: retainAvailable(config.retained) } : { qos: 2, retain: true },
    rateLimiter,
    checkPublish(message, caller, { will = false, dryRun = false } = {}) {
      const judgement: Judgement = { message, caller, will, dryRun, qos: message.qos, findings: [] }
      const { findings } = judgement
      let refusal: Refusal | null = null
      for (const check of checks) {
        refusal = check(judgement)
        if (refusal) break
      }
      const { retain } = message
      if (blockMode) return { refusal, qos: judgement.qos, retain, findings }
      return { refusal: null, qos: message.qos, retain, findings: refusal ? [...findings, refusal] : findings }
    },
    checkSubscribe: (filter, requested) => (blockMode ? qosGuard.checkSubscribe(filter, requested) : requested),
  }
}
