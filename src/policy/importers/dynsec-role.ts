import type { Effect, MatcherDocument, RuleAction } from '../document.ts'
import type { Reader } from '../problems.ts'
import { filterFrom, mqttMatcher, type PatternPiece } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'
import { objectsOf, refuseUnknown, requireMembers } from './read-source.ts'

export const MAX_LIST = 20_000
export const MAX_NAME = 65_535
const MAX_PRIORITY = 1_000_000_000

const aclTypes = {
  publishClientSend: { action: 'publish', literal: false },
  publishClientReceive: { action: 'receive', literal: false },
  subscribeLiteral: { action: 'subscribe', literal: true },
  subscribePattern: { action: 'subscribe', literal: false },
  unsubscribeLiteral: { action: 'unsubscribe', literal: true },
  unsubscribePattern: { action: 'unsubscribe', literal: false },
} as const satisfies Record<string, { action: RuleAction; literal: boolean }>
type AclType = keyof typeof aclTypes
const aclTypeNames = Object.keys(aclTypes) as AclType[]

/** An entry of a role's lists. */
export interface DynsecAcl {
  readonly path: string
  readonly effect: Effect
  readonly action: RuleAction
  readonly matcher: MatcherDocument
  /** Whether `%u` stands in it, which matches nothing for a client without a user name. */
  readonly namesUser: boolean
}

export type Prioritised<T> = { readonly value: T; readonly priority: number }

/** The values, the highest priority first; ties keep their order. */
export function byPriority<T>(entries: readonly Prioritised<T>[]): readonly T[] {
  return entries.toSorted((a, b) => b.priority - a.priority).map(({ value }) => value)
}

export function readPriority(entry: Reader): number {
  return entry.integer('priority', -MAX_PRIORITY, MAX_PRIORITY) ?? 0
}

/** `%c` and `%u` that are a whole level. */
function patternPieces(topic: string): readonly PatternPiece[] {
  return topic.split('/').flatMap((level, i): PatternPiece[] => {
    const piece = level === '%c' ? { variable: 'clientId' } : level === '%u' ? { variable: 'username' } : level
    return i === 0 ? [piece] : ['/', piece]
  })
}

function readAcl(entry: Reader, draft: ImportDraft): Prioritised<DynsecAcl & { literal: boolean }> | undefined {
  refuseUnknown(entry, ['acltype', 'topic', 'priority', 'allow'])
  requireMembers(entry, ['acltype', 'topic', 'allow'])
  const type = entry.word('acltype', aclTypeNames)
  const topic = entry.text('topic', 4_096)
  const effect = entry.boolean('allow', false) ? 'allow' : 'deny'
  if (!type || topic === undefined) return undefined
  const { action, literal } = aclTypes[type]
  const pieces = literal ? [topic] : patternPieces(topic)
  const filter = filterFrom(pieces, entry.at('topic'), draft)
  if (filter === undefined) return undefined
  const isText = literal && /(^|\/)[+#]/.test(topic)
  const matcher = isText ? { eq: filter } : mqttMatcher(filter, effect)
  const namesUser = pieces.some(
    (piece) => typeof piece === 'object' && 'variable' in piece && piece.variable === 'username',
  )
  return { value: { path: entry.path, effect, action, matcher, namesUser, literal }, priority: readPriority(entry) }
}

/** Refuses a SUBSCRIBE with a wildcard, which a role without `allowwildcardsubs` does before it looks at its lists. */
function noWildcards(path: string): DynsecAcl {
  const matcher: MatcherDocument = { regex: '[\\d\\D]*[+#][\\d\\D]*', subscribe: 'text', dollar: true }
  return { path, effect: 'deny', action: 'subscribe', matcher, namesUser: false }
}

/** Reads a role: its entries in the order in which they are asked. */
export function readRole(role: Reader, draft: ImportDraft): readonly [name: string, acls: readonly DynsecAcl[]] {
  refuseUnknown(role, ['rolename', 'textname', 'textdescription', 'acls', 'allowwildcardsubs'])
  requireMembers(role, ['rolename'])
  const entries = objectsOf(role, 'acls', MAX_LIST).flatMap((entry) => readAcl(entry, draft) ?? [])
  const literal = byPriority(entries.filter(({ value }) => value.literal))
  const patterns = byPriority(entries.filter(({ value }) => !value.literal))
  const wildcards = role.boolean('allowwildcardsubs', true) ? [] : [noWildcards(role.at('allowwildcardsubs'))]
  return [role.text('rolename', MAX_NAME) ?? '', [...wildcards, ...literal, ...patterns]]
}
