import { type AccessRequest, accessActions, type Decision, type Reason } from '#src/policy/access.ts'
import type { PolicyDocument } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { decideName } from './decide-name.ts'
import { decideSubscribe } from './decide-subscribe.ts'
import { patternCovers } from './filter-levels.ts'
import { eqMatches, type MatcherPattern, regexMatches, type TopicText, topicText } from './matcher-patterns.ts'
import { type ReferenceRule, referencePolicy } from './reference-policy.ts'
import { createReferenceSession, patternsOf, type ReferenceSession } from './reference-session.ts'
import { nameProblem, requestedFilter } from './syntax.ts'

const refuse = (reason: Reason): Decision => ({ decision: 'deny', reason, rule: null, qos: null, retain: null })

function coversUnsubscribe(pattern: MatcherPattern, filter: TopicText, effect: 'allow' | 'deny'): boolean {
  switch (pattern.kind) {
    case 'filter':
      return patternCovers(pattern, filter.canonical)
    case 'eq':
      return eqMatches(pattern, filter, effect)
    case 'regex':
      return regexMatches(pattern, filter.text)
  }
}

/** CONNECT and UNSUBSCRIBE: the highest tier with a rule that applies decides, and in it deny beats allow. */
function decideBy(
  { policy }: ReferenceSession,
  action: 'connect' | 'unsubscribe',
  applies: (rule: ReferenceRule) => boolean,
): Decision {
  // Denies come first in a tier, and each effect by id, so the first hit is the one to report.
  const hit = policy.tiers.flat().find((rule) => rule.actions.has(action) && applies(rule))
  const decision = hit?.effect ?? policy.defaults[action]
  return { decision, reason: hit === undefined ? 'default' : 'rule', rule: hit?.id ?? null, qos: null, retain: null }
}

/** Decides by looking at every rule in turn. */
export function linearDecide(session: ReferenceSession, request: AccessRequest, delivery = true): Decision {
  const { action, topic, qos = 0, retain = false } = request
  const { topics } = session.policy
  if (!accessActions.includes(action)) return refuse('invalid-action')
  if (action === 'connect') return decideBy(session, action, (rule) => patternsOf(session, rule) !== null)
  if (action === 'subscribe' || action === 'unsubscribe') {
    const sent = requestedFilter(topic, topics)
    if (typeof sent === 'string') return refuse(`invalid-topic:${sent}`)
    const filter = topicText(sent.text)
    if (action === 'subscribe') return decideSubscribe(session, { filter, group: sent.group, qos, delivery })
    return decideBy(session, action, (rule) =>
      (patternsOf(session, rule) ?? []).some((pattern) => coversUnsubscribe(pattern, filter, rule.effect)),
    )
  }
  const problem = nameProblem(topic, topics, action === 'receive')
  if (problem !== undefined) return refuse(`invalid-topic:${problem}`)
  return decideName(session, { action, topic, qos, retain }, topicText(topic))
}

/** The decision that the specification asks for, worked out from the document alone: the oracle of the property tests. */
export function referenceDecide(
  document: PolicyDocument,
  identity: Identity,
  request: AccessRequest,
  delivery = true,
): Decision {
  return linearDecide(createReferenceSession(referencePolicy(document), identity), request, delivery)
}
