import type { Decision } from '../policy/access.ts'
import type { TraceStep } from '../policy/explain.ts'

/** A decision in one line: `allow  reason=rule  rule=own-telemetry  qos=1`; members without a value are left out. */
export function decisionText({ decision, reason, rule, qos, retain }: Partial<Decision>): string {
  const members = Object.entries({ reason, rule, qos, retain })
  const told = members.flatMap(([name, value]) => (value === null || value === undefined ? [] : [`${name}=${value}`]))
  return [decision, ...told].join('  ')
}

/** What became of one rule, in one line. */
export function traceText({ rule, effect, priority, applies, why, pattern, example }: TraceStep): string {
  const about = `${applies ? '*' : '-'} ${effect} ${rule} (priority ${priority}): ${why}`
  return `${about}${pattern === null ? '' : ` ${pattern}`}${example === null ? '' : `, for example ${example}`}`
}
