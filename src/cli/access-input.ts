import { type AccessAction, type AccessRequest, accessActions } from '../policy/access.ts'
import type { Qos } from '../policy/document.ts'
import { type Identity, identityFields } from '../policy/identity.ts'
import { isJsonObject, kindOf, type PolicyProblem, Problems, Reader } from '../policy/problems.ts'

type Read<T> = { readonly value: T; readonly problem: undefined } | { readonly problem: PolicyProblem }

function result<T>(value: T | undefined, { found: [problem] }: Problems): Read<T> {
  if (problem) return { problem }
  if (value === undefined) throw new TypeError('no value, and no problem either')
  return { value, problem: undefined }
}

function objectAt(json: unknown, path: string, problems: Problems): Reader | undefined {
  if (isJsonObject(json)) return new Reader(json, path, problems)
  return problems.add(path, `must be an object, is ${kindOf(json)}`)
}

function identityIn(json: unknown, path: string, problems: Problems): Identity | undefined {
  const reader = objectAt(json, path, problems)
  reader?.refuseUnknown(identityFields)
  return reader?.json as Identity | undefined
}

function requestIn(json: unknown, path: string, problems: Problems): AccessRequest | undefined {
  const reader = objectAt(json, path, problems)
  if (!reader) return undefined
  reader.refuseUnknown(['action', 'topic', 'qos', 'retain'])
  const action = reader.json['action']
  if (!reader.has('action')) reader.refuse('action', `required: one of ${accessActions.join(', ')}`)
  else if (typeof action !== 'string') reader.refuse('action', `must be text, is ${kindOf(action)}`)
  const topic = reader.json['topic']
  if (!reader.has('topic') && action !== 'connect')
    reader.refuse('topic', 'required: a topic, or a filter to subscribe to')
  else if (reader.has('topic') && typeof topic !== 'string') reader.refuse('topic', `must be text, is ${kindOf(topic)}`)
  return {
    action: action as AccessAction, // any other word is decided too: it is refused
    topic: typeof topic === 'string' ? topic : '', // whatever is in it: the engine judges its syntax
    qos: (reader.integer('qos', 0, 2) ?? 0) as Qos,
    retain: reader.boolean('retain', false),
  }
}

/** Reads an identity: an object with the members that policies know. What its values are is for policies to judge. */
export function readIdentity(json: unknown, path = ''): Read<Identity> {
  const problems = new Problems()
  return result(identityIn(json, path, problems), problems)
}

/** Reads a line of a batch: `{"identity": {…}, "request": {"action", "topic", "qos"?, "retain"?}}`. */
export function readQuestion(json: unknown): Read<{ readonly identity: Identity; readonly request: AccessRequest }> {
  const problems = new Problems()
  const reader = objectAt(json, '', problems)
  if (!reader) return result<never>(undefined, problems)
  reader.refuseUnknown(['identity', 'request'])
  for (const name of ['identity', 'request']) if (!reader.has(name)) reader.refuse(name, 'required')
  const identity = reader.has('identity') ? identityIn(reader.json['identity'], 'identity', problems) : undefined
  const request = reader.has('request') ? requestIn(reader.json['request'], 'request', problems) : undefined
  return result(identity && request && { identity, request }, problems)
}
