import type { AccessRequest, Decision } from '#src/policy/access.ts'
import type { Qos } from '#src/policy/document.ts'
import { matchesName, type TopicText } from './matcher-patterns.ts'
import type { ReferenceRule } from './reference-policy.ts'
import { patternsOf, type ReferenceSession, requireHolds } from './reference-session.ts'

type NameRequest = Required<AccessRequest> & { readonly action: 'publish' | 'will' | 'receive' }

function isAsked({ policy }: ReferenceSession, { actions }: ReferenceRule, { action }: NameRequest): boolean {
  if (action === 'receive') return actions.has('receive') || (!policy.isExplicit && actions.has('subscribe'))
  return actions.has('publish')
}

/** The conditions on the packet. On delivery only a deny that asks about shared subscriptions stands back. */
function packetHolds(rule: ReferenceRule, { action, qos, retain }: NameRequest): boolean {
  const { document, effect, shareGroups } = rule
  if (action === 'receive') return effect === 'allow' || (shareGroups === null && (document.shared ?? 'any') === 'any')
  if (document.qos !== undefined && !document.qos.includes(qos)) return false
  if (document.retain === 'forbid' && retain) return false
  if (document.retain === 'require' && !retain) return false
  return action === 'publish' || document.will !== false
}

function isHit(session: ReferenceSession, rule: ReferenceRule, request: NameRequest, name: TopicText): boolean {
  if (!isAsked(session, rule, request) || !packetHolds(rule, request)) return false
  return (
    patternsOf(session, rule)?.some(
      (pattern) =>
        matchesName(pattern, name, rule.effect, request.action === 'receive') &&
        requireHolds(session, rule, pattern.captures, name.levels, { orUnbound: false }),
    ) ?? false
  )
}

interface Forwarding {
  readonly rule: string
  readonly isOverLimit: boolean
  readonly qos: Qos
  readonly retain: boolean
}

function forwarding({ id, document }: ReferenceRule, { qos, retain }: NameRequest): Forwarding {
  const { maxQos = 2, qosMode = 'deny' } = document
  return {
    rule: id,
    isOverLimit: qos > maxQos && qosMode === 'deny',
    qos: Math.min(qos, maxQos) as Qos,
    retain: retain && document.retain !== 'strip',
  }
}

/** Whether `a` changes less than `b`: unchanged < strip < cap (higher QoS, then retain kept) < over the limit. */
function changesLess(a: Forwarding, b: Forwarding): boolean {
  if (a.isOverLimit || b.isOverLimit) return !a.isOverLimit && b.isOverLimit
  return a.qos > b.qos || (a.qos === b.qos && a.retain && !b.retain)
}

/** PUBLISH, Will and delivery: the highest tier with a hit decides, and in it deny beats allow. */
export function decideName(session: ReferenceSession, request: NameRequest, name: TopicText): Decision {
  const { policy } = session
  const isDelivery = request.action === 'receive'
  const { qos, retain } = isDelivery ? { qos: null, retain: null } : request
  for (const tier of policy.tiers) {
    let best: Forwarding | undefined
    for (const rule of tier) {
      if (!isHit(session, rule, request, name)) continue
      if (rule.effect === 'deny') return { decision: 'deny', reason: 'rule', rule: rule.id, qos: null, retain: null }
      if (isDelivery) return { decision: 'allow', reason: 'rule', rule: rule.id, qos, retain }
      const one = forwarding(rule, request)
      if (best === undefined || changesLess(one, best)) best = one
      if (!best.isOverLimit && best.qos === qos && best.retain === retain) break
    }
    if (best?.isOverLimit === true)
      return { decision: 'deny', reason: 'qos-exceeds', rule: best.rule, qos: null, retain: null }
    if (best !== undefined)
      return { decision: 'allow', reason: 'rule', rule: best.rule, qos: best.qos, retain: best.retain }
  }
  const isOpen = policy.defaults[isDelivery ? 'subscribe' : 'publish'] === 'allow' && !name.text.startsWith('$')
  return isOpen
    ? { decision: 'allow', reason: 'default', rule: null, qos, retain }
    : { decision: 'deny', reason: 'default', rule: null, qos: null, retain: null }
}
