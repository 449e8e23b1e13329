import type { Effect, MatcherDocument, RuleAction, WhenDocument } from '../document.ts'
import { quote, type Reader } from '../problems.ts'
import { readSubjects } from './celine-subjects.ts'
import { filterFrom } from './foreign-filter.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsOf, readJsonObject, refuseUnknown, textsOf } from './read-source.ts'

const RULE = ['subjects', 'topics', 'actions', 'effect']
const MAX_RULES = 30_000
const MAX_LIST = 1_000

const ruleActions = { subscribe: 'subscribe', read: 'receive', publish: 'publish' } as const satisfies Record<
  string,
  RuleAction
>
type CelineAction = keyof typeof ruleActions
const celineActions = Object.keys(ruleActions) as CelineAction[]

/** Names of groups and scopes that are capable of each action. */
type Holders = Readonly<Record<CelineAction, { groups: Set<string>; scopes: Set<string> }>>

/** What the identity must show for each action; `undefined` where nobody is capable of it. */
type Capabilities = Readonly<Record<CelineAction, WhenDocument | undefined>>

function readPermissions(roles: Reader, kind: 'groups' | 'scopes', holders: Holders, draft: ImportDraft): void {
  const map = roles.object(kind === 'groups' ? 'group_permissions' : 'scope_permissions')
  for (const holder of Object.keys(map?.json ?? {})) {
    for (const { text, path } of map ? textsOf(map, holder, 100) : []) {
      const action = celineActions.find((one) => one === text)
      if (action) holders[action][kind].add(holder)
      else if (text === 'superuser')
        draft.note('dropped', path, 'superuser is no action on topics; the question is put to /mqtt/superuser')
      else
        draft.note(
          'dropped',
          path,
          `${quote(text)} is none of the actions subscribe, read, publish, and grants nothing`,
        )
    }
  }
}

function capabilityTest({ groups, scopes }: Holders[CelineAction]): WhenDocument | undefined {
  const tests: WhenDocument[] = []
  if (groups.size > 0) tests.push({ groups: { anyOf: [...groups] } })
  if (scopes.size > 0) tests.push({ scopes: { anyOf: [...scopes] } })
  return tests.length > 0 ? { anyOf: tests } : undefined
}

function readCapabilities(root: Reader, draft: ImportDraft): Capabilities {
  const nobody = () => ({ groups: new Set<string>(), scopes: new Set<string>() })
  const holders: Holders = { subscribe: nobody(), read: nobody(), publish: nobody() }
  const roles = root.object('roles')
  if (!root.has('roles'))
    root.refuse(
      'roles',
      'required: a rule allows only those whom group_permissions or scope_permissions name for the action',
    )
  if (roles) {
    refuseUnknown(roles, ['group_permissions', 'scope_permissions'])
    readPermissions(roles, 'groups', holders, draft)
    readPermissions(roles, 'scopes', holders, draft)
  }
  return {
    subscribe: capabilityTest(holders.subscribe),
    read: capabilityTest(holders.read),
    publish: capabilityTest(holders.publish),
  }
}

function readTopics(rule: Reader, effect: Effect, draft: ImportDraft): readonly MatcherDocument[] {
  if (rule.json['topics'] === '*') return [{ filter: '#', dollar: true }]
  return textsOf(rule, 'topics', MAX_LIST).flatMap(({ text, path }) => {
    if (/[*?[\]{}\\]/.test(text)) {
      draft.refuse(
        path,
        'holds a glob character, which the source would match by; write + for a level and # for the rest',
      )
      return []
    }
    if (text.endsWith('/#') && text.slice(0, -2).includes('+'))
      draft.note(
        'changed',
        path,
        '+ stands for a level here; before /# the source compares it as text, and matches nothing',
      )
    if (/^[+#]/.test(text) && effect === 'allow')
      draft.note('stricter', path, 'a wildcard in the first level leaves out names that begin with $; name those')
    return filterFrom([text], path, draft) ?? []
  })
}

function readActions(rule: Reader, draft: ImportDraft): readonly CelineAction[] {
  if (rule.json['actions'] === '*') return celineActions
  const listed = textsOf(rule, 'actions', MAX_LIST).flatMap(({ text, path }) => {
    const action = celineActions.find((one) => one === text)
    if (!action)
      draft.refuse(
        path,
        text === '*' ? '"*" stands for all only as the text actions: "*"' : 'must be subscribe, read or publish',
      )
    return action ?? []
  })
  return [...new Set(listed)]
}

function importRule(rule: Reader, capabilities: Capabilities, draft: ImportDraft): void {
  refuseUnknown(rule, RULE)
  const missing = ['subjects', 'topics', 'actions'].find((name) => !rule.has(name))
  if (missing !== undefined) draft.note('dropped', rule.path, `a rule without ${missing} never matches in the source`)
  if (missing !== undefined) return
  const effect = rule.word('effect', ['allow', 'deny']) ?? 'allow'
  const subjects = rule.object('subjects')
  const tests = subjects && readSubjects(subjects, draft)
  const topics = readTopics(rule, effect, draft)
  const actions = readActions(rule, draft)
  if (topics.length === 0 || actions.length === 0)
    draft.note('dropped', rule.path, 'names no topic or no action, so it never decides')
  if (tests === undefined || topics.length === 0) return
  if (effect === 'deny')
    draft.note('stricter', rule.path, 'a deny refuses here, as its page says; the service only does not let it match')
  for (const action of actions) {
    const capability = effect === 'allow' ? capabilities[action] : {}
    if (!capability) draft.note('dropped', rule.path, `nobody has the capability to ${action}`)
    if (!capability) continue
    const conditions = [...tests, ...(effect === 'allow' ? [capability] : [])]
    draft.addRule(rule.path, {
      id: draft.countedId(`${rule.path.replace(/^.*\[(\d+)\]$/, 'rule-$1')}-${action}`),
      effect,
      ...(conditions.length > 0 ? { when: { allOf: conditions } } : {}),
      actions: [ruleActions[action]],
      topics,
    })
  }
}

/** The object that holds `rules` and `roles`: the document itself, or `celine` with the rules in `mqtt.acl`. */
function rulesAndRoles(document: Reader): { rules: Reader; roles: Reader } | undefined {
  if (!document.has('celine')) {
    refuseUnknown(document, ['rules', 'roles'])
    return { rules: document, roles: document }
  }
  refuseUnknown(document, ['celine'])
  const celine = document.object('celine')
  if (celine) refuseUnknown(celine, ['mqtt', 'roles'])
  const mqtt = celine?.object('mqtt')
  if (mqtt) refuseUnknown(mqtt, ['acl'])
  const acl = mqtt?.object('acl')
  if (acl) refuseUnknown(acl, ['rules'])
  else document.refuse('celine', 'holds no mqtt.acl.rules')
  return acl && celine && { rules: acl, roles: celine }
}

/**
 * Imports the rules document of CELINE: a subject needs an allow rule and the capability for the action, and a deny refuses
 * whatever else allows. A topic name, a subject and an action that the broker hook sends are decided as documented.
 */
export function importCeline(input: unknown, { id = 'celine' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const document = readJsonObject(input, draft)
  const parts = document && rulesAndRoles(document)
  if (parts) {
    if (!parts.rules.has('rules')) parts.rules.refuse('rules', 'required: the list of rules')
    const capabilities = readCapabilities(parts.roles, draft)
    for (const rule of objectsOf(parts.rules, 'rules', MAX_RULES)) importRule(rule, capabilities, draft)
  }
  return draft.finish({ id, default: 'deny', options: { receive: 'explicit' } })
}
