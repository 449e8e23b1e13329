import type { RuleDocument, WhenDocument } from '../document.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { readJsonObject } from './read-source.ts'

const resource = 'celine/+:service/+:resource/#'
const service = 'celine/+:service'
const widerFilters = [{ eq: 'celine/+:service/#' }, { eq: 'celine/+:service/+' }]

const administratorScope = [{ in: 'scopes', any: ['${topic.service}.admin'] }]
const administratorGroups = ['${topic.service}.admin', 'mqtt:${topic.service}:admin']
const isUser: WhenDocument = { type: ['user'] }
const isGlobalAdministrator: WhenDocument = { ...isUser, groups: { anyOf: ['admin', 'mqtt.admin'] } }
/** Without `anonymous`: the service's own tests refuse it, whatever scopes it comes with. */
const isSomebody: WhenDocument = { type: ['user', 'service'] }

function resourceRules(verb: 'read' | 'write', actions: NonNullable<RuleDocument['actions']>): RuleDocument[] {
  const named = [`\${topic.service}.\${topic.resource}.${verb}`, '${topic.service}.${topic.resource}.*']
  const mqttForm = [`mqtt:\${topic.service}:\${topic.resource}:${verb}`, 'mqtt:${topic.service}:${topic.resource}:*']
  const shared = { effect: 'allow', actions, topics: [resource] } as const
  return [
    {
      id: `service-${verb}`,
      ...shared,
      when: { type: ['service'] },
      require: [{ in: 'scopes', any: [...named, '${topic.service}.admin'] }],
    },
    {
      id: `user-${verb}`,
      ...shared,
      when: isUser,
      require: [{ in: 'groups', any: [...named, ...mqttForm, ...administratorGroups] }],
    },
  ]
}

/** A service as a whole: its own topic, and the two filters that the source compares as text. */
function serviceRules(id: string, who: Pick<RuleDocument, 'when' | 'require'>): RuleDocument[] {
  return [
    { id, effect: 'allow', ...who, actions: ['publish', 'subscribe', 'receive'], topics: [service] },
    { id: `${id}-filters`, effect: 'allow', ...who, actions: ['subscribe'], topics: widerFilters },
  ]
}

const administratorRules: readonly RuleDocument[] = [
  {
    id: 'administrator',
    effect: 'allow',
    when: isGlobalAdministrator,
    actions: ['publish', 'subscribe', 'receive'],
    topics: ['celine/+/+:resource/#', 'celine/+'],
  },
  {
    id: 'administrator-filters',
    effect: 'allow',
    when: isGlobalAdministrator,
    actions: ['subscribe'],
    topics: [...widerFilters, { eq: 'celine/#' }, { eq: 'celine/+/#' }, { eq: 'celine/+/+' }],
  },
]

/**
 * Writes the model in which CELINE derives the scope that is needed from the topic, `{service}.{resource}.{verb}`. It has no
 * document, so the source is an empty object.
 */
export function importCelineScopes(input: unknown, { id = 'celine-scopes' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const document = readJsonObject(input, draft)
  if (document && Object.keys(document.json).length > 0)
    draft.refuse('', 'this model has no document, give {}; a document with rules is imported as celine')
  const rules = [
    ...resourceRules('read', ['subscribe', 'receive']),
    ...resourceRules('write', ['publish']),
    ...serviceRules('service-administrator', { when: isSomebody, require: administratorScope }),
    ...serviceRules('user-service-administrator', {
      when: isUser,
      require: [{ in: 'groups', any: administratorGroups }],
    }),
    ...administratorRules,
  ]
  for (const rule of rules) draft.addRule('', rule)
  draft.note('changed', '', 'a shared subscription is judged by its filter; the source refuses every one')
  draft.note(
    'changed',
    '',
    'a user with a scope <service>.admin has the topic and the two filters of the service, as in the source, and no resource of it',
  )
  return draft.finish({ id, default: 'deny', options: { receive: 'explicit' } })
}
