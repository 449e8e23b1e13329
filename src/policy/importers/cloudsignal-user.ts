import type { Effect, PolicyDocument, RuleAction, WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import { placeholderPaths } from './cloudsignal-named.ts'
import { filterFrom } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'
import { bracePieces, type Placeholder } from './placeholders.ts'
import { refuseUnknown, requireMembers } from './read-source.ts'

const MAX_TOPIC = 4_096
const MAX_PRIORITY = 1_000_000_000

const both: readonly RuleAction[] = ['publish', 'subscribe', 'receive']
const permissions: Readonly<Record<string, readonly RuleAction[]>> = {
  publish: ['publish'],
  subscribe: ['subscribe', 'receive'],
  both,
  pubsub: both,
}

/** C comes from the dashboard, D from the guides: a list, with wildcards spelt `%`, priorities and denies. */
type Kind = 'C' | 'D'

function resolve(name: string, path: string, draft: ImportDraft): Placeholder {
  if (name === 'channel') {
    draft.note(
      'ambiguous',
      path,
      '{channel} is no documented variable; it is read as any one channel, which a SUBSCRIBE has to name',
    )
    return { capture: 'channel' }
  }
  const known = ['username', 'client_id', 'org_short_id']
  const variable = known.includes(name) ? placeholderPaths[name] : undefined
  return variable === undefined
    ? { problem: `no variable of this dialect; known are ${known.join(', ')}` }
    : { variable }
}

function readTopic(rule: Reader, kind: Kind, draft: ImportDraft): string | undefined {
  const path = rule.at('topic')
  const text = rule.text('topic', MAX_TOPIC)
  const plain = kind === 'D' ? text?.replaceAll('%u', '{username}') : text
  const pieces =
    plain === undefined ? undefined : bracePieces(plain, { path, draft, resolve: (name) => resolve(name, path, draft) })
  return pieces && filterFrom(pieces, path, draft)
}

function readUser(rule: Reader, kind: Kind): WhenDocument | undefined {
  const text = rule.text('user', 1_024)
  if (text === undefined) return undefined
  if (kind === 'D' && text.includes('*')) return rule.refuse('user', '* is no wildcard of this dialect; write %')
  const glob = kind === 'D' ? text.replaceAll('%', '*') : text
  if (glob === '*') return {}
  return { username: glob.includes('*') ? { glob } : { eq: glob } }
}

function readEffect(rule: Reader): Effect {
  const word = rule.word('effect', ['allow', 'deny', 'ALLOW', 'DENY'])
  return word === 'deny' || word === 'DENY' ? 'deny' : 'allow'
}

/** The first rule that matches decides, "in priority order"; which end comes first is not documented. */
function refuseUnclearOrder(rules: readonly Reader[], draft: ImportDraft): void {
  const priorities = rules.map((rule) => rule.integer('priority', -MAX_PRIORITY, MAX_PRIORITY))
  if (priorities.every((priority) => priority === undefined)) return
  const steps = priorities.map((priority, i) => (i === 0 ? 0 : (priority ?? 0) - (priorities[i - 1] ?? 0)))
  const oneWay =
    priorities.every((priority) => priority !== undefined) &&
    (steps.every((step) => step >= 0) || steps.every((step) => step <= 0))
  if (oneWay)
    draft.note(
      'ambiguous',
      '',
      'the first rule of the list decides; whether the highest or the lowest priority comes first is not documented',
    )
  else
    draft.refuse(
      '',
      'whether the highest or the lowest priority comes first is not documented; give every rule a priority, and list them in the order in which they are asked',
    )
}

/** Imports rules of `{user, topic, permission}`. */
export function importUserRules(
  rules: readonly Reader[],
  kind: Kind,
  draft: ImportDraft,
): Omit<PolicyDocument, 'schema' | 'id' | 'rules'> {
  for (const [i, rule] of rules.entries()) {
    refuseUnknown(rule, ['user', 'topic', 'permission', ...(kind === 'D' ? ['priority', 'effect'] : [])])
    requireMembers(rule, ['user', 'topic', 'permission'])
    const permission = rule.word('permission', ['publish', 'subscribe', kind === 'C' ? 'both' : 'pubsub'])
    const when = readUser(rule, kind)
    const topic = readTopic(rule, kind, draft)
    const effect = kind === 'D' ? readEffect(rule) : 'allow'
    if (!permission || !when || topic === undefined) continue
    draft.addRule(rule.path, {
      id: draft.countedId(`rule-${i}`),
      effect,
      ...(kind === 'D' ? { priority: rules.length - i } : {}),
      ...(Object.keys(when).length > 0 ? { when } : {}),
      actions: permissions[permission] ?? [],
      topics: [topic],
    })
  }
  if (kind === 'D') refuseUnclearOrder(rules, draft)
  if (kind === 'C' || rules.length > 0) return { default: 'deny' }
  draft.note(
    'ambiguous',
    '',
    'no rules is full access inside the organisation, so everything is allowed but topics that begin with $',
  )
  return { default: 'allow' }
}
