import type { CompiledPolicy } from '../policy/compile-policy.ts'
import { type CompiledRule, type KeyedMember, keyedMembers, keyValues, type RuleKey } from '../policy/compiled-rule.ts'
import type { Identity } from '../policy/identity.ts'
import type { Direction } from './java-patterns.ts'

/** The rules of one direction: by the values that identities find them by, and those for everybody. */
interface RuleIndex {
  readonly keyed: ReadonlyMap<string, readonly CompiledRule[]>
  readonly others: readonly CompiledRule[]
}

const indexes: Readonly<Record<Direction, WeakMap<CompiledPolicy, RuleIndex>>> = {
  publish: new WeakMap(),
  subscribe: new WeakMap(),
}

const nameOf = (member: KeyedMember, value: string) => `${member} ${value}`

function indexOf(policy: CompiledPolicy, direction: Direction): RuleIndex {
  const known = indexes[direction].get(policy)
  if (known) return known
  const keyed = new Map<string, CompiledRule[]>()
  const others: CompiledRule[] = []
  for (const rule of policy.rules) {
    if (!rule.rule.actions.has(direction)) continue
    if (rule.key === null) others.push(rule)
    for (const value of new Set(rule.key?.values)) {
      const name = nameOf((rule.key as RuleKey).member, value)
      const found = keyed.get(name)
      if (found) found.push(rule)
      else keyed.set(name, [rule])
    }
  }
  const index = { keyed, others }
  indexes[direction].set(policy, index)
  return index
}

/**
 * The rules of one direction that an identity may meet, each once; their `when` is still to be asked. A policy is indexed when it is
 * first asked for.
 */
export function rulesFor(policy: CompiledPolicy, direction: Direction, identity: Identity): readonly CompiledRule[] {
  const { keyed, others } = indexOf(policy, direction)
  const own = keyedMembers.flatMap((member) =>
    keyValues(identity, member).flatMap((value) => keyed.get(nameOf(member, value)) ?? []),
  )
  return [...new Set([...others, ...own])]
}
