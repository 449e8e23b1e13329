import type { AccessRequest, Decision } from './access.ts'
import type { PolicySession } from './decide.ts'

/** A decision of two documents, and the one whose reason and rule it gives. */
export interface BothDecision extends Decision {
  readonly by: 'stored' | 'session'
}

type Decides = Pick<PolicySession, 'decide'>

/** Whether a refusal is more than the silence of a document: a rule, a limit, or a request that is none. */
function isRefusal({ decision, reason }: Decision): boolean {
  return decision === 'deny' && reason !== 'default'
}

function lower<T extends number>(a: T | null, b: T | null): T | null {
  return a !== null && b !== null && b < a ? b : a
}

/** Both allow: the lower QoS and the missing retain flag count, and a check of deliveries that either asks for. */
function bothAllow(stored: Decision, session: Decision): BothDecision {
  const by = stored.reason === 'default' ? 'session' : 'stored'
  const { reason, rule } = by === 'stored' ? stored : session
  const isFiltered = stored.reason === 'filtered' || session.reason === 'filtered'
  return {
    decision: 'allow',
    reason: isFiltered ? 'filtered' : reason,
    rule,
    qos: lower(stored.qos, session.qos),
    retain: stored.retain === null ? null : stored.retain && session.retain === true,
    by,
  }
}

/**
 * Decides a request by a stored document and by the rules that came with a session. A rule, a limit or a syntax fault of either
 * refuses; where neither does, an allow of one is enough if the other says nothing, and where both allow the stricter QoS and
 * retain flag count. Rules of a session can thus add to a stored policy and take from it, but never undo what it denies. What
 * the session's document allows by default counts as silence: every document lets clients connect by default, and whether they
 * may is the stored one's to say.
 *
 * A subscription that only one of them allows is `filtered` where deliveries are checked: the silence of the other one does
 * not tell whether it denies part of what the filter matches.
 */
export function decideBoth(stored: Decides, session: Decides, request: AccessRequest, delivery = true): BothDecision {
  const first = stored.decide(request, delivery)
  if (isRefusal(first)) return { ...first, by: 'stored' }
  const second = session.decide(request, delivery)
  if (isRefusal(second)) return { ...second, by: 'session' }
  const isSaid = second.decision === 'allow' && second.rule !== null
  if (isSaid && first.decision === 'allow') return bothAllow(first, second)
  const by = isSaid ? 'session' : 'stored'
  const one = isSaid ? second : first
  const isOneSided = one.decision === 'allow' && request.action === 'subscribe' && delivery
  return { ...one, ...(isOneSided && { reason: 'filtered' }), by }
}
