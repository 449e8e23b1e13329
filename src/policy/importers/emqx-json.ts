import type { Qos, WhenDocument } from '../document.ts'
import { type JsonObject, kindOf, Reader } from '../problems.ts'
import type { EmqxRule, EmqxTopic } from './emqx-rule.ts'
import type { ImportDraft } from './import-draft.ts'
import { objectsIn, objectsOf, refuseUnknown, requireMembers, textsOf } from './read-source.ts'

const RULE = ['permission', 'action', 'topic', 'topics', 'qos', 'retain']
const MAX_RULES = 30_000
const MAX_TOPIC = 4_096

const words: Readonly<Record<string, Pick<EmqxRule, 'publish' | 'subscribe'>>> = {
  publish: { publish: true, subscribe: false },
  pub: { publish: true, subscribe: false },
  subscribe: { publish: false, subscribe: true },
  sub: { publish: false, subscribe: true },
  all: { publish: true, subscribe: true },
}

function readQos(rule: Reader): readonly Qos[] | undefined {
  const value = rule.json['qos']
  if (value === undefined || value === null) return undefined
  const listed: readonly unknown[] =
    typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : [value]
  const levels = listed.flatMap((level): Qos[] => {
    const known = ([0, 1, 2] as const).find((one) => one === level || String(one) === level)
    return known === undefined ? [] : [known]
  })
  if (levels.length === 0 || levels.length !== listed.length) rule.refuse('qos', 'must be 0, 1, 2 or a list of them')
  return levels
}

function readRetain(rule: Reader): boolean | undefined {
  const value = rule.json['retain']
  if (value === undefined || value === null || value === 'all') return undefined
  if ([true, 'true', 1, '1'].includes(value as string)) return true
  if (![false, 'false', 0, '0'].includes(value as string))
    rule.refuse('retain', `must be true, false or "all", is ${kindOf(value)}`)
  return false
}

function readTopics(rule: Reader): readonly EmqxTopic[] {
  const single = rule.text('topic', MAX_TOPIC)
  if (!rule.has('topic') && !rule.has('topics')) rule.refuse('topic', 'required, or topics')
  if (rule.has('topic') && rule.has('topics')) rule.refuse('topics', 'topic stands beside it; EMQX reads that alone')
  const listed = single === undefined ? textsOf(rule, 'topics', 10_000) : [{ text: single, path: rule.at('topic') }]
  return listed.map(({ text, path }) =>
    text.startsWith('eq ') ? { path, text: text.slice(3), isEq: true } : { path, text, isEq: false },
  )
}

function readRule(rule: Reader, when: WhenDocument | undefined): EmqxRule | undefined {
  refuseUnknown(rule, RULE)
  requireMembers(rule, ['permission', 'action'])
  const effect = rule.word('permission', ['allow', 'deny'])
  const action = rule.word('action', ['publish', 'subscribe', 'all', 'pub', 'sub'])
  const conditions = { qos: readQos(rule), retain: readRetain(rule), topics: readTopics(rule) }
  const direction = action === undefined ? undefined : words[action]
  return effect && direction && { path: rule.path, effect, when, ...direction, ...conditions }
}

/** Order in which the built-in database asks: what is for a client id, for a user name, for all. */
function holderRank(holder: Reader): number {
  return holder.has('clientid') ? 0 : holder.has('username') ? 1 : 2
}

function readHolder(holder: Reader): readonly EmqxRule[] {
  refuseUnknown(holder, ['username', 'clientid', 'rules'])
  const [username, clientId] = [holder.text('username', 1_024), holder.text('clientid', 1_024)]
  if (username !== undefined && clientId !== undefined)
    holder.refuse('clientid', 'rules are for a user name or a client id, not for both')
  const when =
    username !== undefined
      ? { username: { eq: username } }
      : clientId !== undefined
        ? { clientId: { eq: clientId } }
        : undefined
  return objectsOf(holder, 'rules', MAX_RULES).flatMap((rule) => readRule(rule, when) ?? [])
}

/** Reads rules as JSON: a list of them, `{"acl": […]}` of an HTTP answer, or the lists of the built-in database. */
export function readJsonRules(json: JsonObject | readonly unknown[], draft: ImportDraft): readonly EmqxRule[] {
  if (Array.isArray(json)) {
    const elements = objectsIn(json, MAX_RULES, draft)
    if (!elements.some((element) => element.has('rules')))
      return elements.flatMap((rule) => readRule(rule, undefined) ?? [])
    return elements.toSorted((a, b) => holderRank(a) - holderRank(b)).flatMap(readHolder)
  }
  const document = new Reader(json as JsonObject, '', draft.problems)
  if (document.has('rules')) return readHolder(document)
  refuseUnknown(document, ['acl', 'result', 'is_superuser', 'client_attrs', 'expire_at'])
  if (document.json['is_superuser'] === true)
    document.refuse('is_superuser', 'a superuser is asked for nothing; give that client a policy of its own')
  if (!document.has('acl')) document.refuse('acl', 'required: the list of rules')
  return objectsOf(document, 'acl', MAX_RULES).flatMap((rule) => readRule(rule, undefined) ?? [])
}
