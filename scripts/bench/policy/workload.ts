import type { AccessRequest } from '#src/policy/access.ts'
import { POLICY_SCHEMA, type PolicyDocument, type RuleDocument } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { Random } from './random.ts'

export const IDENTITIES = 1_000
export const identities: readonly Identity[] = Array.from({ length: IDENTITIES }, (_, i) => ({
  clientId: `client-${i}`,
  username: `user-${i}`,
  type: 'device',
  groups: [`group-${i % 50}`],
}))

/** A request and who makes it, by place in `identities`. */
export interface Ask {
  readonly who: number
  readonly request: AccessRequest
}

export type Direction = 'publish' | 'subscribe'

/** Rules of one shape, and topics that concern them. */
export interface Workload {
  readonly name: string
  rule(i: number): RuleDocument
  /** A topic of rule `i` for an identity: a name to publish to, or a filter to subscribe to. */
  topic(i: number, who: number, direction: Direction, random: Random): string
  /** How many rules make sense, where it is not any number. */
  readonly only?: readonly number[]
}

export function documentOf(workload: Workload, rules: number): PolicyDocument {
  const list = Array.from({ length: rules }, (_, i) => workload.rule(i))
  return { schema: POLICY_SCHEMA, id: 'bench', default: 'deny', rules: list }
}

/** Distinct requests, four of five about a rule that is there. */
export function asksOf(workload: Workload, rules: number, direction: Direction, count: number): readonly Ask[] {
  const random = new Random(rules + count)
  const asks = new Map<string, Ask>()
  while (asks.size < count) {
    const who = random.below(IDENTITIES)
    const rule = random.below(5) === 0 ? rules + random.below(rules) : random.below(rules)
    const topic = workload.topic(rule, who, direction, random)
    asks.set(`${who} ${topic}`, { who, request: { action: direction, topic, qos: 1 } })
  }
  return [...asks.values()]
}
