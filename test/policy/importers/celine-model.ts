import { stands } from './mqtt-model.ts'

export type CelineAction = 'subscribe' | 'read' | 'publish'

export interface CelineRule {
  readonly subjects?: {
    readonly types?: readonly string[] | '*'
    readonly ids?: readonly string[] | '*'
    readonly groups?: readonly string[] | '*'
    readonly scopes?: readonly string[] | '*'
  }
  readonly topics?: readonly string[] | '*'
  readonly actions?: readonly string[] | '*'
  readonly effect?: 'allow' | 'deny'
}

export interface CelineRoles {
  readonly group_permissions?: Readonly<Record<string, readonly string[]>>
  readonly scope_permissions?: Readonly<Record<string, readonly string[]>>
}

export interface CelineSubject {
  readonly id: string
  readonly type: 'user' | 'service' | 'anonymous'
  readonly groups: readonly string[]
  readonly scopes: readonly string[]
}

function isOneOf(
  wanted: readonly string[] | '*' | undefined,
  held: readonly string[],
  same = (a: string, b: string) => a === b,
): boolean {
  return wanted === undefined || wanted === '*' || wanted.some((one) => held.some((other) => same(one, other)))
}

function scopeFits(wanted: string, held: string): boolean {
  return wanted.endsWith('.*') ? held.startsWith(wanted.slice(0, -1)) : held === wanted
}

function applies(rule: CelineRule, who: CelineSubject, action: CelineAction, name: string): boolean {
  const { subjects, topics, actions } = rule
  if (!subjects || !topics || !actions) return false
  return (
    isOneOf(subjects.types, [who.type]) &&
    isOneOf(subjects.ids, [who.id]) &&
    isOneOf(subjects.groups, who.groups) &&
    isOneOf(subjects.scopes, who.scopes, scopeFits) &&
    (actions === '*' || actions.includes(action)) &&
    // a wildcard in front leaves out names with a `$`, unless it is the "*" or refuses
    (topics === '*' || topics.some((topic) => stands(topic, name, rule.effect === 'deny')))
  )
}

/** What the page documents about a topic name: the capability for the action and an allow rule, and no deny. */
export function celineAllows(
  rules: readonly CelineRule[],
  roles: CelineRoles,
  who: CelineSubject,
  action: CelineAction,
  name: string,
): boolean {
  const grants = (table: Readonly<Record<string, readonly string[]>> = {}, held: readonly string[]) =>
    held.some((holder) => Object.hasOwn(table, holder) && table[holder]?.includes(action))
  const isCapable = grants(roles.group_permissions, who.groups) || grants(roles.scope_permissions, who.scopes)
  const hits = rules.filter((rule) => applies(rule, who, action, name))
  return isCapable && hits.length > 0 && hits.every(({ effect = 'allow' }) => effect === 'allow')
}
