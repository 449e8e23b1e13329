import type { Effect, Qos, RuleAction, WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import { filterFrom } from './foreign-filter.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsOf, readJsonObject, refuseUnknown, requireMembers, textsOf } from './read-source.ts'

const SECTIONS = ['auth', 'acl', 'inspection', 'rate-limit', 'qos', 'retained', 'general']
const ACL = ['enabled', 'default-action', 'rules', 'rules-file', 'cache-decisions']
const RULE = ['name', 'match', 'topics', 'actions', 'decision', 'max-qos', 'priority']
const MATCH = ['username', 'username-regex', 'client-id', 'client-id-regex', 'client-ip', 'groups', 'protocol-version']
const MAX_RULES = 100_000
const MAX_TOPICS = 10_000
const MAX_TEXT = 1_024
const PRIORITY = 2 ** 31

const everything = { filter: '#', dollar: true } as const

const actionsOf: Readonly<Record<string, readonly RuleAction[]>> = {
  publish: ['publish'],
  subscribe: ['subscribe', 'receive'],
  unsubscribe: ['unsubscribe'],
  connect: [],
}

/** A rule as far as it can be read, before its rank is known. */
interface SourceRule {
  readonly path: string
  readonly name: string
  readonly effect: Effect
  readonly priority: number
  /** `undefined`: matches nobody, and stays out. */
  readonly when: WhenDocument | undefined
  readonly actions: readonly RuleAction[]
  readonly topics: readonly string[]
  readonly maxQos: Qos | undefined
}

function textMatch(match: Reader, name: 'username' | 'client-id', draft: ImportDraft): WhenDocument {
  const key = name === 'username' ? 'username' : 'clientId'
  const exact = match.text(name, MAX_TEXT)
  const regex = match.text(`${name}-regex`, MAX_TEXT)
  if (exact !== undefined) {
    if (regex !== undefined)
      draft.note('dropped', match.at(`${name}-regex`), `ignored beside ${name}, as in the source`)
    return { [key]: { eq: exact } }
  }
  if (regex === undefined) return {}
  if (/\\[dwsb]|\(\?i/i.test(regex))
    draft.note(
      'changed',
      match.at(`${name}-regex`),
      '\\d, \\w and \\s stand for ASCII characters here, for Unicode in the source',
    )
  return { [key]: { regex, mode: 'search' } }
}

function whenOf(rule: Reader, draft: ImportDraft): WhenDocument | undefined {
  const match = rule.object('match')
  if (!match) return {}
  refuseUnknown(match, MATCH)
  const ip = match.text('client-ip', MAX_TEXT)
  const groups = textsOf(match, 'groups', 1_000).map(({ text }) => text)
  const protocol = match.integer('protocol-version', 3, 5)
  if (Array.isArray(match.json['groups']) && groups.length === 0) {
    draft.note('dropped', match.at('groups'), 'an empty list of groups matches nobody, so the rule never decides')
    return undefined
  }
  return {
    ...textMatch(match, 'username', draft),
    ...textMatch(match, 'client-id', draft),
    ...(ip === undefined ? {} : { ip: [ip] }),
    ...(groups.length === 0 ? {} : { groups: { anyOf: groups } }),
    ...(protocol === undefined ? {} : { protocol }),
  }
}

function readActions(rule: Reader, draft: ImportDraft): readonly RuleAction[] {
  const listed = textsOf(rule, 'actions', 16)
  if (listed.length === 0) return ['publish', 'subscribe', 'receive']
  const actions = listed.flatMap(({ text, path }) => {
    if (text === 'connect') draft.note('dropped', path, 'the source never asks its rules about connect')
    if (!Object.hasOwn(actionsOf, text)) draft.refuse(path, `must be one of ${Object.keys(actionsOf).join(', ')}`)
    return Object.hasOwn(actionsOf, text) ? (actionsOf[text] ?? []) : []
  })
  return [...new Set(actions)]
}

function readTopics(rule: Reader, draft: ImportDraft): readonly string[] {
  return textsOf(rule, 'topics', MAX_TOPICS).flatMap(({ text, path }) => filterFrom([text], path, draft) ?? [])
}

function readMaxQos(rule: Reader, effect: Effect, draft: ImportDraft): Qos | undefined {
  const maxQos = rule.integer('max-qos', 0, 2) as Qos | undefined
  if (maxQos === undefined) return undefined
  if (effect === 'deny') return draft.note('dropped', rule.at('max-qos'), 'a deny rule has no limit to keep')
  draft.note('stricter', rule.at('max-qos'), 'the limit is applied here; the source reports it and forwards what came')
  return maxQos
}

function readRule(rule: Reader, draft: ImportDraft): SourceRule {
  refuseUnknown(rule, RULE)
  requireMembers(rule, ['name', 'topics', 'decision'])
  const effect = rule.word('decision', ['allow', 'deny']) ?? 'deny'
  return {
    path: rule.path,
    name: rule.text('name', 65_535) ?? '',
    effect,
    priority: rule.integer('priority', -PRIORITY, PRIORITY - 1) ?? 0,
    when: whenOf(rule, draft),
    actions: readActions(rule, draft),
    topics: readTopics(rule, draft),
    maxQos: readMaxQos(rule, effect, draft),
  }
}

/** Writes rules in the order in which the source asks them: each has a tier of its own, the first the highest. */
function addRules(rules: readonly SourceRule[], qosMode: 'cap' | 'deny', draft: ImportDraft): void {
  const ordered = rules.toSorted((a, b) => b.priority - a.priority) // stable: ties keep the order of the file
  for (const [rank, { path, name, effect, when, actions, topics, maxQos }] of ordered.entries()) {
    const id = draft.idFor(name, path, 'rule')
    if (topics.length === 0) draft.note('dropped', `${path}.topics`, 'a rule without topics never decides')
    if (when === undefined || actions.length === 0 || topics.length === 0) continue
    const limits = maxQos !== undefined && actions.some((action) => action === 'publish' || action === 'subscribe')
    draft.addRule(path, {
      id,
      effect,
      priority: ordered.length - rank,
      ...(Object.keys(when).length > 0 ? { when } : {}),
      actions,
      topics: topics.map((filter) => ({ filter, dollar: true })),
      ...(limits ? { maxQos, qosMode } : {}),
    })
  }
  if (ordered.length === 0) return
  draft.note(
    'stricter',
    'acl.rules',
    'a SUBSCRIBE needs a pattern that contains its filter, and a deny that overlaps it refuses; the source compares texts',
  )
  draft.note('stricter', 'acl.rules', 'a Will is judged as the publish that it becomes')
  draft.note(
    'changed',
    'acl.rules',
    'UNSUBSCRIBE is refused only by a rule that names it; the default does not apply to it',
  )
}

function addDefault(acl: Reader, draft: ImportDraft): void {
  const enabled = acl.boolean('enabled', true)
  const allowed = acl.word('default-action', ['allow', 'deny']) === 'allow'
  if (enabled && !allowed) return
  if (!enabled)
    draft.note(
      'ambiguous',
      acl.at('enabled'),
      'switched off, so everything is allowed, as in the source; its rules are left out',
    )
  draft.addRule(enabled ? acl.at('default-action') : acl.at('enabled'), {
    id: draft.idFor('default-action', acl.at('default-action'), 'default-action'),
    effect: 'allow',
    priority: 0,
    actions: ['publish', 'subscribe', 'receive'],
    topics: [everything],
  })
}

function importAcl(acl: Reader, qosMode: 'cap' | 'deny', draft: ImportDraft): void {
  refuseUnknown(acl, ACL)
  if (acl.has('rules-file'))
    draft.note('dropped', acl.at('rules-file'), 'the source does not read it either; import that file by itself')
  const rules = objectsOf(acl, 'rules', MAX_RULES).map((rule) => readRule(rule, draft))
  if (acl.boolean('enabled', true)) addRules(rules, qosMode, draft)
  addDefault(acl, draft)
}

/** Reads the sections of a whole document that bear on its `acl`. */
function importDocument(document: Reader, draft: ImportDraft): void {
  refuseUnknown(document, SECTIONS)
  for (const name of ['auth', 'inspection', 'rate-limit', 'qos', 'retained', 'general'])
    if (document.has(name))
      draft.note('dropped', name, 'no part of a topic policy; configure it where messages and clients are judged')
  const cap = document.object('qos')?.boolean('downgrade', true) ?? true
  const acl = document.object('acl')
  if (acl) importAcl(acl, cap ? 'cap' : 'deny', draft)
}

/**
 * Imports the `acl` of a Sentinel MQTT Gateway, given as its whole document or as that section alone. Topic names are
 * decided as there; filters of SUBSCRIBE are judged more strictly.
 */
export function importSentinel(input: unknown, { id = 'sentinel' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const document = readJsonObject(input, draft)
  const isSection = document && !SECTIONS.some((name) => document.has(name)) && ACL.some((name) => document.has(name))
  if (document && isSection) importAcl(document, 'cap', draft)
  else if (document) importDocument(document, draft)
  return draft.finish({ id, default: 'deny' })
}
