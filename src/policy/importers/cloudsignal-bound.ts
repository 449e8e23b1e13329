import type { PolicyDocument, RuleAction, RuleDocument, WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import { filterFrom } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'
import { bracePieces, type Placeholder } from './placeholders.ts'
import { objectsOf, refuseUnknown, requireMembers, textsOf } from './read-source.ts'

const MAX_RULES = 50_000
const MAX_TOPIC = 4_096
const MAX_AGENTS = 1_000

const actions = {
  sub: ['subscribe', 'receive'],
  pub: ['publish'],
  'pub+sub': ['publish', 'subscribe', 'receive'],
} as const satisfies Record<string, readonly RuleAction[]>
const actionNames = ['sub', 'pub', 'pub+sub'] as const

/** What the members of a rule say about who it is for. */
interface Binding {
  readonly claim: string | undefined
  /** `{channel}` is one that the user was granted: an element of the claim `channels`. */
  readonly needsGrant: boolean
}

function resolve(name: string, { claim, needsGrant }: Binding): Placeholder {
  if (name === '$self' && claim === undefined) return { problem: 'needs binding, the claim that it stands for' }
  const bound = name === '$self' ? claim : name
  if (needsGrant && bound === 'channel') return { capture: 'channel' }
  if (bound === claim) return { variable: `claims.${bound}` }
  return {
    problem:
      claim === undefined ? 'needs binding, the claim that it stands for' : 'is not the claim that binding names',
  }
}

function readBinding(rule: Reader): Binding {
  const claim = rule.text('binding', 128)
  if (claim !== undefined && !/^[\w-]+$/.test(claim))
    rule.refuse('binding', 'the name of a claim is letters, digits, _ and -')
  return { claim, needsGrant: rule.boolean('require_grant', false) }
}

function whenOf(rule: Reader, { claim, needsGrant }: Binding, isPlaced: boolean): WhenDocument {
  const agents = textsOf(rule, 'agents', MAX_AGENTS).map(({ text }) => text)
  if (rule.has('agents') && claim === undefined)
    rule.refuse('agents', 'needs binding, the claim whose values these are')
  if (rule.has('agents')) return { [`claims.${claim}`]: { in: agents } }
  if (claim === undefined || isPlaced || (needsGrant && claim === 'channel')) return {}
  return { [`claims.${claim}`]: { exists: true } }
}

function importRule(rule: Reader, isGlobal: boolean, draft: ImportDraft): void {
  refuseUnknown(rule, isGlobal ? ['topic', 'action'] : ['topic', 'action', 'binding', 'agents', 'require_grant'])
  requireMembers(rule, ['topic', 'action'])
  const text = rule.text('topic', MAX_TOPIC)
  const action = rule.word('action', actionNames)
  const binding = readBinding(rule)
  const path = rule.at('topic')
  const pieces =
    text === undefined ? undefined : bracePieces(text, { path, draft, resolve: (name) => resolve(name, binding) })
  const topic = pieces && filterFrom(pieces, path, draft)
  const placed = (kind: 'variable' | 'capture') =>
    pieces?.some((piece) => typeof piece === 'object' && kind in piece) === true
  if (pieces && binding.needsGrant && !placed('capture')) rule.refuse('require_grant', 'needs {channel} in the topic')
  const when = whenOf(rule, binding, placed('variable'))
  if (topic === undefined || !action) return
  const require: RuleDocument['require'] = [{ in: 'claims.channels', any: ['${topic.channel}'] }]
  if (placed('capture'))
    draft.note(
      'ambiguous',
      path,
      'the grant of a channel is not documented; it is read as an element of the claim channels',
    )
  draft.addRule(rule.path, {
    id: draft.countedId(rule.path.replace(/\[(\d+)\]$/, '-$1')),
    effect: 'allow',
    ...(Object.keys(when).length > 0 ? { when } : {}),
    actions: actions[action],
    topics: [topic],
    ...(placed('capture') ? { require } : {}),
  })
}

/** Imports `{version: "2" | "2.1", default, global, rules, publishers}`, the form of the command line. */
export function importBoundRules(
  document: Reader,
  draft: ImportDraft,
): Omit<PolicyDocument, 'schema' | 'id' | 'rules'> {
  refuseUnknown(document, ['version', 'default', 'global', 'rules', 'publishers'])
  const fallback = document.word('default', ['allow', 'deny']) ?? 'deny'
  for (const rule of objectsOf(document, 'global', MAX_RULES)) importRule(rule, true, draft)
  for (const rule of objectsOf(document, 'rules', MAX_RULES)) importRule(rule, false, draft)
  if (document.list('publishers', MAX_RULES).length > 0)
    document.refuse(
      'publishers',
      'what its elements look like is not published; write a rule with when: {"username": {"in": […]}} for each instead',
    )
  return { default: fallback }
}
