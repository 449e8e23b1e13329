import type { Identity } from '#src/policy/identity.ts'
import type { Capture } from './filter-levels.ts'
import { isWild } from './filter-levels.ts'
import { fillMatcher, type MatcherPattern } from './matcher-patterns.ts'
import type { Part } from './pattern.ts'
import type { ReferencePolicy, ReferenceRule, TopicPart } from './reference-policy.ts'
import { memberAt, usableText } from './value.ts'
import { whenHolds } from './when.ts'

/** A policy as it stands for one identity. A rule is prepared when it first comes up. */
export interface ReferenceSession {
  readonly policy: ReferencePolicy
  readonly identity: Identity
  /** By the index of the rule; `null` where `when` is false. */
  readonly patterns: (readonly MatcherPattern[] | null | undefined)[]
  /** How often an allow of a higher tier took a deny away from a subscription. */
  carveOuts: number
}

export function createReferenceSession(policy: ReferencePolicy, identity: Identity): ReferenceSession {
  return { policy, identity, patterns: [], carveOuts: 0 }
}

/** The patterns of a rule for this identity; `null` where its `when` is false. */
export function patternsOf(session: ReferenceSession, rule: ReferenceRule): readonly MatcherPattern[] | null {
  let patterns = session.patterns[rule.index]
  if (patterns === undefined) {
    const { policy, identity } = session
    const isOn = whenHolds(rule.document.when ?? {}, identity, policy.aliases)
    const own = isOn ? rule.variable.flatMap((matcher) => fillMatcher(matcher, identity, rule.effect)) : []
    patterns = isOn ? [...rule.fixed, ...own] : null
    session.patterns[rule.index] = patterns
  }
  return patterns
}

function isGroup(template: readonly Part[], group: string, identity: Identity, effect: 'allow' | 'deny'): boolean {
  const texts = template.map((part) =>
    typeof part === 'string' ? part : usableText(memberAt(identity, part.path), part.modifier, false),
  )
  return texts.includes(undefined) ? effect === 'deny' : texts.join('') === group
}

/** Whether the share conditions of a rule hold for a subscription. `shareGroups` implies that it is a shared one. */
export function shareHolds({ identity }: ReferenceSession, rule: ReferenceRule, group: string | null): boolean {
  const { shareGroups, effect } = rule
  if (shareGroups !== null)
    return group !== null && shareGroups.some((template) => isGroup(template, group, identity, effect))
  const { shared = 'any' } = rule.document
  return shared === 'any' || (shared === 'require') === (group !== null)
}

/** A template with the levels that its captures stand over; `undefined` where one stands over a wildcard. */
function render(template: readonly TopicPart[], captures: readonly Capture[], levels: readonly string[]) {
  let text = ''
  for (const part of template) {
    const index = typeof part === 'string' ? undefined : captures.find(({ name }) => name === part.capture)?.index
    const piece = typeof part === 'string' ? part : levels[index ?? -1]
    if (piece === undefined || (typeof part !== 'string' && isWild(piece))) return undefined
    text += piece
  }
  return text
}

/** `require`: every entry has a template that names a member of its list. An unbound one is true in a deny (`orUnbound`). */
export function requireHolds(
  { identity }: ReferenceSession,
  rule: ReferenceRule,
  captures: readonly Capture[],
  levels: readonly string[],
  { orUnbound }: { orUnbound: boolean },
): boolean {
  return rule.require.every(({ path, any }) => {
    const own = memberAt(identity, path)
    return any.some((template) => {
      const text = render(template, captures, levels)
      return text === undefined ? orUnbound : Array.isArray(own) && own.includes(text)
    })
  })
}
