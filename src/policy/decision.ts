import type { Decision, Reason } from './access.ts'
import type { Qos } from './document.ts'

export function deny(reason: Reason, rule: string | null = null): Decision {
  return { decision: 'deny', reason, rule, qos: null, retain: null }
}

export function allow(
  reason: Reason,
  rule: string | null,
  qos: Qos | null = null,
  retain: boolean | null = null,
): Decision {
  return { decision: 'allow', reason, rule, qos, retain }
}
