import type { AccessRequest, Decision } from '../policy/access.ts'
import type { CompiledPolicy } from '../policy/compile-policy.ts'
import type { Qos } from '../policy/document.ts'
import type { Want } from './dialect.ts'

/** What of a message rules ask for that a broker may not say. */
export interface LooksAt {
  readonly qos: boolean
  readonly retain: boolean
  readonly will: boolean
}

const known = new WeakMap<CompiledPolicy, LooksAt>()

/** Which of QoS, retain flag and being a Will any rule of a policy depends on. */
export function looksAt(compiled: CompiledPolicy): LooksAt {
  let looks = known.get(compiled)
  if (!looks) {
    const { rules } = compiled.policy
    looks = {
      qos: rules.some(({ qos, maxQos }) => qos !== null || maxQos !== null),
      retain: rules.some(({ retain }) => retain !== 'any'),
      will: rules.some(({ will }) => !will),
    }
    known.set(compiled, looks)
  }
  return looks
}

const EVERY_QOS: readonly Qos[] = [0, 1, 2]
const EITHER = [false, true]

/** What a request may be, where the broker does not say and the policy asks. */
function* readings({ action, topic, qos, retain }: Want, looks: LooksAt): Generator<AccessRequest> {
  const isMessage = action === 'publish' || action === 'will'
  const qosIsOpen = looks.qos && qos === undefined && (isMessage || action === 'subscribe')
  const retainIsOpen = looks.retain && retain === undefined && isMessage
  for (const one of action === 'publish' && looks.will ? (['publish', 'will'] as const) : [action]) {
    for (const itsQos of qosIsOpen ? EVERY_QOS : [qos]) {
      for (const itsRetain of retainIsOpen ? EITHER : [retain]) {
        yield {
          action: one,
          topic,
          ...(itsQos === undefined ? {} : { qos: itsQos }),
          ...(itsRetain === undefined ? {} : { retain: itsRetain }),
        }
      }
    }
  }
}

/**
 * Decides what a broker asks although it does not say all that the policy looks at: it is allowed when it would be whatever
 * the broker left out, and unchanged, because a broker that does not say the QoS cannot be told to lower it. No broker tells a
 * Will from a publish.
 */
export function decideUnsaid(decide: (request: AccessRequest) => Decision, want: Want, looks: LooksAt): Decision {
  if (!looks.qos && !looks.retain && !looks.will) return decide(want)
  let first: Decision | undefined
  for (const request of readings(want, looks)) {
    const decision = decide(request)
    if (decision.decision === 'deny') return decision
    const isLowered = want.qos === undefined && decision.qos !== null && decision.qos < (request.qos ?? 0)
    const isStripped = want.retain === undefined && decision.retain === false && request.retain === true
    if (isLowered || isStripped)
      return { ...decision, decision: 'deny', reason: isLowered ? 'qos-exceeds' : 'rule', qos: null, retain: null }
    first ??= decision
  }
  return first ?? { decision: 'deny', reason: 'invalid-action', rule: null, qos: null, retain: null }
}
