import type { Identity } from '#src/policy/identity.ts'
import { stands } from './mqtt-model.ts'

export interface SentinelRule {
  readonly name: string
  readonly match?: {
    readonly username?: string
    readonly 'username-regex'?: string
    readonly 'client-id'?: string
    readonly 'client-id-regex'?: string
    readonly groups?: readonly string[]
    readonly 'protocol-version'?: number
  }
  readonly topics: readonly string[]
  readonly actions?: readonly string[]
  readonly decision: 'allow' | 'deny'
  readonly priority?: number
  readonly 'max-qos'?: number
}

export interface SentinelAcl {
  readonly enabled?: boolean
  readonly 'default-action'?: 'allow' | 'deny'
  readonly rules?: readonly SentinelRule[]
}

function textPasses(value: string | undefined, exact: string | undefined, regex: string | undefined): boolean {
  if (exact !== undefined) return value === exact
  return regex === undefined || (value !== undefined && new RegExp(regex).test(value))
}

function concerns({ match = {} }: SentinelRule, { username, clientId, groups = [], protocol }: Identity): boolean {
  return (
    textPasses(username, match.username, match['username-regex']) &&
    textPasses(clientId, match['client-id'], match['client-id-regex']) &&
    (match.groups === undefined || match.groups.some((group) => groups.includes(group))) &&
    (match['protocol-version'] === undefined || match['protocol-version'] === protocol)
  )
}

/** What the gateway answers about a topic name: the first rule decides, priorities descending, ties in their order. */
export function sentinelAllows(
  acl: SentinelAcl,
  who: Identity,
  action: 'publish' | 'subscribe',
  name: string,
): boolean {
  if (acl.enabled === false) return true
  const ordered = [...(acl.rules ?? [])].sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))
  const first = ordered.find(
    (rule) =>
      concerns(rule, who) &&
      ((rule.actions ?? []).length === 0 || rule.actions?.includes(action)) &&
      rule.topics.some((topic) => stands(topic, name, true)),
  )
  return (first?.decision ?? acl['default-action'] ?? 'deny') === 'allow'
}
