import { parseStrictJson } from '../../core/strict-json.ts'
import type { PolicyDocument } from '../../policy/document.ts'
import type { Identity } from '../../policy/identity.ts'
import type { RefusalReason } from '../provider.ts'
import { readSessionRules, type SessionRules } from '../session-rules.ts'

/**
 * What a service said of a client. `why` is there when it does not answer as it should, for the operator's log: names of
 * members, and what a rule is told to be wrong with.
 */
export type ServiceAnswer =
  | { readonly outcome: 'skip' }
  | { readonly outcome: 'refuse'; readonly reason: RefusalReason; readonly why?: string }
  | ServiceYes

export interface ServiceYes {
  readonly outcome: 'success'
  readonly type?: Exclude<Identity['type'], 'anonymous' | undefined>
  readonly username?: string
  readonly org?: string
  readonly sub?: string
  readonly groups?: readonly string[]
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  readonly rules?: PolicyDocument
  readonly expiresInS?: number
}

const types = ['device', 'application', 'service', 'user'] as const
const texts = ['username', 'org', 'sub'] as const
const sets = ['groups', 'roles', 'scopes'] as const
/** Said to people; read by nobody here. */
const remarks = ['message', 'reason'] as const
const members: readonly string[] = [
  'result',
  'clientType',
  'rules',
  'authRules',
  'expiresIn',
  ...texts,
  ...sets,
  ...remarks,
]
const MAX_SET = 256
const MAX_TEXT = 256
const JSON_LIMITS = { maxDepth: 16, maxMembers: 5_000 }

class Unusable extends Error {}

function textOf(value: unknown, member: string): string {
  const fits = typeof value === 'string' && value !== '' && value.length <= MAX_TEXT && value.isWellFormed()
  if (!fits) throw new Unusable(`${member}: must be a text of 1 to ${MAX_TEXT} characters`)
  return value
}

function setOf(value: unknown, member: string): readonly string[] {
  if (!Array.isArray(value) || value.length > MAX_SET)
    throw new Unusable(`${member}: must be a list of at most ${MAX_SET}`)
  return value.map((item, i) => textOf(item, `${member}[${i}]`))
}

function typeOf(value: unknown): ServiceYes['type'] {
  const type = typeof value === 'string' ? types.find((known) => known === value.toLowerCase()) : undefined
  if (type === undefined) throw new Unusable(`clientType: must be one of ${types.join(', ')}`)
  return type
}

function secondsOf(value: unknown): number {
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 31_536_000
  if (!fits) throw new Unusable('expiresIn: must be whole seconds from 1 to 31536000')
  return value
}

/** An absent member says nothing; `null` is no way to say it. */
function readYes(answer: Readonly<Record<string, unknown>>): Omit<ServiceYes, 'outcome' | 'rules'> {
  const has = (member: string) => Object.hasOwn(answer, member)
  const named = texts.filter(has).map((member) => [member, textOf(answer[member], member)])
  const listed = sets.filter(has).map((member) => [member, setOf(answer[member], member)])
  return {
    ...Object.fromEntries([...named, ...listed]),
    ...(has('clientType') && { type: typeOf(answer['clientType']) }),
    ...(has('expiresIn') && { expiresInS: secondsOf(answer['expiresIn']) }),
  }
}

/** Rules of ours, or the lists that TBMQ takes; an empty list is rules too, which allow nothing. */
function readRules(answer: Readonly<Record<string, unknown>>): SessionRules | undefined {
  const [own, lists] = ['rules', 'authRules'].map((member) => Object.hasOwn(answer, member))
  if (own && lists) return { document: undefined, problems: [{ path: '', message: 'stand beside authRules' }] }
  if (own) return readSessionRules('rules', answer['rules'])
  return lists ? readSessionRules('tbmq', answer['authRules']) : undefined
}

const NO: ServiceAnswer = { outcome: 'refuse', reason: 'service-refused' }

function judge(answer: unknown): ServiceAnswer {
  const unusable = (why: string): ServiceAnswer => ({ outcome: 'refuse', reason: 'service-refused', why })
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer))
    return unusable('the answer is no JSON object')
  const object = answer as Readonly<Record<string, unknown>>
  const result = Object.hasOwn(object, 'result') ? object['result'] : undefined
  const word = typeof result === 'string' ? result.toLowerCase() : undefined
  if (word === 'failure') return NO
  if (word === 'skipped') return { outcome: 'skip' }
  if (word !== 'success') return unusable('result: must be success, failure or skipped')
  const unknown = Object.keys(object).find((member) => !members.includes(member))
  if (unknown !== undefined)
    return unusable(`${JSON.stringify(unknown.slice(0, 64))}: no such member; a rule might be meant`)
  const yes = readYes(object)
  const rules = readRules(object)
  if (rules === undefined) return { outcome: 'success', ...yes }
  if (rules.document) return { outcome: 'success', ...yes, rules: rules.document }
  const [{ path, message } = { path: '', message: 'not usable' }] = rules.problems
  return { outcome: 'refuse', reason: 'rules-invalid', why: `${path || 'rules'}: ${message}` }
}

/**
 * Reads what a service answered. Only a 2xx with a JSON object whose `result` is `success` is a yes: an empty body, a missing
 * or unknown `result`, a member of the wrong type, an unknown member and rules that do not hold are a no. 401 and 403 are a
 * no; every other status says nothing about the client, so that nobody can tell and `unavailable` refuses.
 */
export function readAnswer({ status, body }: { readonly status: number; readonly body: Uint8Array }): ServiceAnswer {
  if (status === 401 || status === 403) return NO
  if (status < 200 || status > 299) return { outcome: 'refuse', reason: 'unavailable', why: `status ${status}` }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
    return judge(parseStrictJson(text, JSON_LIMITS))
  } catch (err) {
    const why = err instanceof Unusable ? err.message : 'the answer is no JSON object'
    return { outcome: 'refuse', reason: 'service-refused', why }
  }
}
