import type { PolicyDocument, RuleAction } from '../document.ts'
import type { Reader } from '../problems.ts'
import { filterFrom } from './foreign-filter.ts'
import type { ImportDraft } from './import-draft.ts'
import type { ImportOptions } from './import-result.ts'
import { bracePieces, type Placeholder } from './placeholders.ts'
import { objectsOf, refuseUnknown, requireMembers } from './read-source.ts'

const MAX_RULES = 100_000
const MAX_TOPIC = 4_096

/** Placeholders that keep their name as an alias of a path. */
const aliased: Readonly<Record<string, string>> = { email: 'claims.email', user_id: 'sub', agent_id: 'claims.agent_id' }

/** Placeholders that are members of the identity under another name. */
export const placeholderPaths: Readonly<Record<string, string>> = {
  session_id: 'claims.session_id',
  role: 'claims.role',
  client_id: 'clientId',
  username: 'username',
  org_short_id: 'org',
}

const actions: Readonly<Record<'subscribe' | 'publish', readonly RuleAction[]>> = {
  subscribe: ['subscribe', 'receive'],
  publish: ['publish'],
}

function resolve(name: string, used: Set<string>): Placeholder {
  if (Object.hasOwn(aliased, name)) {
    used.add(name)
    return { variable: name }
  }
  const variable = Object.hasOwn(placeholderPaths, name) ? placeholderPaths[name] : undefined
  if (variable !== undefined) return { variable }
  return {
    problem: `no placeholder of this dialect; known are ${[...Object.keys(aliased), ...Object.keys(placeholderPaths)].join(', ')}`,
  }
}

/** Reads a topic, and says what becomes of a slash at its front. */
function readTopic(rule: Reader, strip: boolean, used: Set<string>, draft: ImportDraft): string | undefined {
  const written = rule.text('topic', MAX_TOPIC)
  if (written === undefined) return undefined
  const path = rule.at('topic')
  const leads = written.startsWith('/')
  if (leads && !strip)
    draft.note(
      'ambiguous',
      path,
      'the slash at the front is kept: /a and a are different topics, and the worked decisions of the page leave it out; import with stripLeadingSlash to drop it',
    )
  if (leads && strip) draft.note('changed', path, 'the slash at the front is taken off')
  const text = leads && strip ? written.slice(1) : written
  const pieces = bracePieces(text, { path, draft, resolve: (name) => resolve(name, used) })
  return pieces && filterFrom(pieces, path, draft)
}

/** Imports `{version: "2.0", default_action, rules: [{topic, action, effect}]}`, the form of the security page. */
export function importNamedRules(
  document: Reader,
  { ordered = false, stripLeadingSlash = false }: ImportOptions,
  draft: ImportDraft,
): Omit<PolicyDocument, 'schema' | 'id' | 'rules'> {
  refuseUnknown(document, ['version', 'default_action', 'rules'])
  requireMembers(document, ['default_action', 'rules'])
  const fallback = document.word('default_action', ['allow', 'deny']) ?? 'deny'
  const used = new Set<string>()
  const rules = objectsOf(document, 'rules', MAX_RULES)
  const effects = new Set<string>()
  for (const [i, rule] of rules.entries()) {
    refuseUnknown(rule, ['topic', 'action', 'effect'])
    requireMembers(rule, ['topic', 'action', 'effect'])
    const effect = rule.word('effect', ['allow', 'deny'])
    const action = rule.word('action', ['subscribe', 'publish'])
    const topic = readTopic(rule, stripLeadingSlash, used, draft)
    if (!effect || !action || topic === undefined) continue
    effects.add(effect)
    draft.addRule(rule.path, {
      id: draft.countedId(`rule-${i}`),
      effect,
      ...(ordered ? { priority: rules.length - i } : {}),
      actions: actions[action],
      topics: [topic],
    })
  }
  if (effects.size > 1 && !ordered)
    draft.note(
      'ambiguous',
      'rules',
      'the order of rules is not documented: a deny decides wherever it stands; import with ordered if the first rule that matches is to decide',
    )
  if (fallback === 'allow') draft.note('stricter', 'default_action', 'allow does not reach topics that begin with $')
  const aliases = Object.fromEntries(Object.entries(aliased).filter(([name]) => used.has(name)))
  return { default: fallback, ...(used.size > 0 ? { aliases } : {}) }
}
