import type { Qos } from '#src/policy/document.ts'
import type { Identity } from '#src/policy/identity.ts'
import { stands } from './mqtt-model.ts'

export interface Who {
  readonly username?: string
  readonly clientId?: string
  readonly usernameRegex?: string
}

export interface Rule {
  readonly effect: 'allow' | 'deny'
  readonly who: Who
  readonly action: 'publish' | 'subscribe' | 'all'
  readonly qos?: readonly Qos[]
  readonly retain?: boolean
  readonly topics: readonly { readonly text: string; readonly isEq: boolean }[]
}

export interface Asked {
  readonly action: 'publish' | 'subscribe'
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
}

function fitsTopic(
  { text, isEq }: Rule['topics'][number],
  { clientId = '', username = '' }: Identity,
  topic: string,
): boolean {
  if (isEq) return text === topic
  const filter = text.replaceAll('${clientid}', clientId).replaceAll('${username}', username)
  return stands(filter, topic) // wildcards of a filter that is asked about are words like others
}

/** The first rule that matches; nobody is allowed what none decides. */
export function emqxAllows(rules: readonly Rule[], who: Identity, { action, topic, qos, retain }: Asked): boolean {
  const first = rules.find(
    (rule) =>
      (rule.action === 'all' || rule.action === action) &&
      (rule.qos === undefined || rule.qos.includes(qos)) &&
      (action === 'subscribe' || rule.retain === undefined || rule.retain === retain) &&
      (rule.who.username === undefined || rule.who.username === who.username) &&
      (rule.who.clientId === undefined || rule.who.clientId === who.clientId) &&
      (rule.who.usernameRegex === undefined ||
        (who.username !== undefined && new RegExp(rule.who.usernameRegex).test(who.username))) &&
      rule.topics.some((one) => fitsTopic(one, who, topic)),
  )
  return first?.effect === 'allow'
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`

/** Writes rules as `acl.conf`. */
export function aclConf(rules: readonly Rule[]): string {
  return rules
    .map(({ effect, who, action, qos, retain, topics }) => {
      const tests = [
        ...(who.username === undefined ? [] : [`{user, ${quoted(who.username)}}`]),
        ...(who.clientId === undefined ? [] : [`{clientid, ${quoted(who.clientId)}}`]),
        ...(who.usernameRegex === undefined ? [] : [`{username, {re, ${quoted(who.usernameRegex)}}}`]),
      ]
      const whom = tests.length === 0 ? 'all' : tests.length === 1 ? tests[0] : `{'and', [${tests.join(', ')}]}`
      const options = [
        ...(qos ? [`{qos, [${qos.join(',')}]}`] : []),
        ...(retain === undefined || action === 'subscribe' ? [] : [`{retain, ${retain}}`]),
      ]
      const listed = topics.map(({ text, isEq }) => (isEq ? `{eq, ${quoted(text)}}` : quoted(text)))
      return `{${effect}, ${whom}, ${options.length > 0 ? `{${action}, [${options.join(', ')}]}` : action}, [${listed.join(', ')}]}. % a comment\n`
    })
    .join('')
}
