import type { Qos, WhenDocument } from '../document.ts'
import type { EmqxRule, EmqxTopic } from './emqx-rule.ts'
import { type ErlangTerm, parseErlangTerms } from './erlang-terms.ts'
import type { ImportDraft } from './import-draft.ts'

const MAX_STATEMENTS = 30_000

function atomOf(term: ErlangTerm | undefined): string | undefined {
  return typeof term === 'object' && 'atom' in term ? term.atom : undefined
}

function isTuple(term: ErlangTerm | undefined): term is { readonly tuple: readonly ErlangTerm[] } {
  return typeof term === 'object' && 'tuple' in term
}

function isList(term: ErlangTerm | undefined): term is readonly ErlangTerm[] {
  return Array.isArray(term)
}

/** Everything that a `{name, value}` can say about who asks, but for compositions. */
function whoIs(kind: string, value: ErlangTerm | undefined): WhenDocument | undefined {
  const key = ['user', 'username'].includes(kind)
    ? 'username'
    : ['client', 'clientid'].includes(kind)
      ? 'clientId'
      : undefined
  if (key !== undefined && typeof value === 'string') return { [key]: { eq: value } }
  if (key !== undefined && isTuple(value)) {
    const [name, regex] = value.tuple
    return atomOf(name) === 're' && typeof regex === 'string' ? { [key]: { regex, mode: 'search' } } : undefined
  }
  if (kind === 'ipaddr' && typeof value === 'string') return { ip: [value] }
  if (kind !== 'ipaddrs' || !isList(value)) return undefined
  const nets = value.filter((net) => typeof net === 'string')
  return nets.length === value.length ? { ip: nets } : undefined
}

/** `{}` is everybody. */
function readWho(term: ErlangTerm | undefined): WhenDocument | undefined {
  if (atomOf(term) === 'all') return {}
  if (!isTuple(term) || term.tuple.length !== 2) return undefined
  const [kind, value] = term.tuple
  const name = atomOf(kind) ?? ''
  if ((name !== 'and' && name !== 'or') || !isList(value)) return whoIs(name, value)
  const parts = value.map(readWho).filter((part) => part !== undefined)
  if (parts.length !== value.length) return undefined
  return name === 'and' ? { allOf: parts } : { anyOf: parts }
}

type Action = Pick<EmqxRule, 'publish' | 'subscribe' | 'qos' | 'retain'>

const directions: Readonly<Record<string, Pick<Action, 'publish' | 'subscribe'>>> = {
  publish: { publish: true, subscribe: false },
  subscribe: { publish: false, subscribe: true },
  all: { publish: true, subscribe: true },
  pubsub: { publish: true, subscribe: true },
}

function readQos(term: ErlangTerm | undefined): readonly Qos[] | undefined {
  const levels = isList(term) ? term : [term]
  const known = levels.filter((level) => level === 0 || level === 1 || level === 2)
  return known.length > 0 && known.length === levels.length ? known : undefined
}

function readOptions(options: readonly ErlangTerm[]): Pick<Action, 'qos' | 'retain'> | undefined {
  let qos: readonly Qos[] | undefined
  let retain: boolean | undefined
  for (const option of options) {
    const [name, value] = isTuple(option) ? option.tuple : []
    if (atomOf(name) === 'qos') {
      const levels = readQos(value)
      if (!levels) return undefined
      qos = [...new Set([...(qos ?? []), ...levels])]
    } else if (atomOf(name) === 'retain') {
      const word = atomOf(value)
      if (word !== 'true' && word !== 'false' && word !== 'all') return undefined
      retain = word === 'all' ? undefined : word === 'true'
    } else return undefined
  }
  return { qos, retain }
}

function readAction(term: ErlangTerm | undefined): Action | undefined {
  const [name, options] = isTuple(term) ? term.tuple : [term, []]
  const direction = directions[atomOf(name) ?? '']
  if (!direction || !isList(options)) return undefined
  const conditions = readOptions(options)
  return conditions && { ...direction, ...conditions }
}

function readTopic(term: ErlangTerm, path: string): EmqxTopic | undefined {
  if (isTuple(term)) {
    const [name, text] = term.tuple
    return atomOf(name) === 'eq' && typeof text === 'string' ? { path, text, isEq: true } : undefined
  }
  if (typeof term !== 'string') return undefined
  return term.startsWith('eq ') ? { path, text: term.slice(3), isEq: true } : { path, text: term, isEq: false }
}

function readRule(term: ErlangTerm, path: string, draft: ImportDraft): EmqxRule | undefined {
  const parts = isTuple(term) ? term.tuple : []
  const [permission, who, action, topics] = parts
  const effect = atomOf(permission)
  if (effect !== 'allow' && effect !== 'deny')
    return draft.refuse(path, 'a rule is {allow | deny, Who, Action, Topics}')
  if (parts.length === 2 && atomOf(who) === 'all')
    return {
      path,
      effect,
      when: undefined,
      publish: true,
      subscribe: true,
      qos: undefined,
      retain: undefined,
      topics: [{ path, text: '#', isEq: false }],
    }
  const when = readWho(who)
  const asked = readAction(action)
  const listed = isList(topics) ? topics.map((topic) => readTopic(topic, path)) : undefined
  const known = listed?.filter((topic) => topic !== undefined)
  if (parts.length !== 4)
    return draft.refuse(
      path,
      'a rule has four parts: {allow | deny, Who, Action, Topics}; {allow, all} is the only short form',
    )
  if (!when) draft.refuse(path, 'who is all, or made of username, clientid, ipaddr, ipaddrs, and, or')
  if (!asked)
    draft.refuse(
      path,
      'the action is publish, subscribe or all, with a list of {qos, 0..2} and {retain, true | false | all} where there is one',
    )
  if (!known || known.length !== listed?.length) draft.refuse(path, 'the topics are a list of texts and {eq, Text}')
  if (!when || !asked || !known) return undefined
  return { path, effect, when: Object.keys(when).length > 0 ? when : undefined, ...asked, topics: known }
}

/** Reads the rules of `acl.conf`. */
export function readErlangRules(text: string, draft: ImportDraft): readonly EmqxRule[] {
  const statements = parseErlangTerms(text, MAX_STATEMENTS)
  if ('message' in statements) {
    draft.refuse(`line ${statements.line}`, statements.message)
    return []
  }
  return statements.flatMap(({ line, term }) => readRule(term, `line ${line}`, draft) ?? [])
}
