import type { WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'
import { readJsonObject, refuseUnknown, requireMembers } from './read-source.ts'
import { addAuthRules, addPatternRules, type RuleTarget } from './tbmq-rules.ts'

const MEMBERS = [
  'id',
  'createdTime',
  'name',
  'clientType',
  'credentialsType',
  'credentialsId',
  'credentialsValue',
  'additionalInfo',
]
const BASIC = ['clientId', 'userName', 'password', 'authRules']
const SCRAM = ['userName', 'password', 'salt', 'serverKey', 'storedKey', 'algorithm', 'authRules']
const X509 = ['certCnPattern', 'certCnIsRegex', 'authRulesMapping']
const MAX_TEXT = 1_024
/** Place of the certificates that are named in full: no two are for one client. */
const AFTER_EVERY_REGEX = 1e9

type Add = (target: Pick<RuleTarget, 'priority'>) => void

/** A credential that has been read: whom it is for, and what adds its rules. */
interface Credential {
  readonly path: string
  readonly name: string
  /** Credentials of one family can be for the same client; then the first in order decides alone. */
  readonly family: 'basic' | 'scram' | 'x509'
  /** Place in that order; the same for those that exclude each other. */
  readonly order: number
  readonly when: WhenDocument
  readonly add: Add
}

export function isCredential(entry: Reader): boolean {
  return entry.has('credentialsType')
}

type Common = Pick<Credential, 'path' | 'name'>

function readBasic(value: Reader, common: Common, draft: ImportDraft): Credential | undefined {
  refuseUnknown(value, BASIC)
  const textOf = (name: string) => (value.json[name] === null ? undefined : value.text(name, MAX_TEXT))
  const [username, clientId] = [textOf('userName'), textOf('clientId')]
  if (username === undefined && clientId === undefined) return value.refuse('userName', 'required, or clientId')
  const when = {
    auth: ['basic'],
    ...(username === undefined ? {} : { username: { eq: username } }),
    ...(clientId === undefined ? {} : { clientId: { eq: clientId } }),
  }
  const order = username === undefined ? 2 : clientId === undefined ? 1 : 0
  const add: Add = ({ priority }) => addAuthRules(value, { name: common.name, when, priority, hasCn: false }, draft)
  return { ...common, family: 'basic', order, when, add }
}

function readScram(value: Reader, common: Common, draft: ImportDraft): Credential | undefined {
  refuseUnknown(value, SCRAM)
  requireMembers(value, ['userName'])
  const username = value.text('userName', MAX_TEXT)
  if (username === undefined) return undefined
  const when = { auth: ['scram'], username: { eq: username } }
  const add: Add = ({ priority }) => addAuthRules(value, { name: common.name, when, priority, hasCn: false }, draft)
  return { ...common, family: 'scram', order: 0, when, add }
}

/** Each mapping whose regex is found in the common name adds its rules. */
function readX509(value: Reader, common: Common, order: number, draft: ImportDraft): Credential | undefined {
  refuseUnknown(value, X509)
  requireMembers(value, ['certCnPattern', 'authRulesMapping'])
  const pattern = value.text('certCnPattern', MAX_TEXT)
  const isRegex = value.boolean('certCnIsRegex', false)
  const mapping = value.object('authRulesMapping')
  if (pattern === undefined || !mapping) return undefined
  const keys = Object.keys(mapping.json)
  if (keys.length === 0) return value.refuse('authRulesMapping', 'names no rules')
  draft.note(
    'stricter',
    '',
    'only the certificate of the client itself is looked at; TBMQ also takes one that issued it',
  )
  draft.note('stricter', '', 'a common name that holds / + or # is not put into a pattern')
  const holder: WhenDocument = { 'cert.cn': isRegex ? { regex: pattern, mode: 'search' } : { eq: pattern } }
  const add: Add = ({ priority }) => {
    for (const key of keys) {
      const when = { auth: ['x509'], allOf: [holder, { 'cert.cn': { regex: key, mode: 'search' as const } }] }
      const rules = mapping.object(key)
      if (rules) addPatternRules(rules, { name: common.name, when, priority, hasCn: true }, draft)
    }
  }
  return {
    ...common,
    family: 'x509',
    order: isRegex ? order : AFTER_EVERY_REGEX,
    when: { auth: ['x509'], ...holder },
    add,
  }
}

function readCredential(entry: Reader, order: number, draft: ImportDraft): Credential | undefined {
  refuseUnknown(entry, MEMBERS)
  const type = entry.word('credentialsType', ['MQTT_BASIC', 'X_509', 'SCRAM'])
  if (!entry.has('credentialsValue')) entry.refuse('credentialsValue', 'required')
  const value = entry.has('credentialsValue')
    ? readJsonObject(entry.json['credentialsValue'], draft, entry.at('credentialsValue'))
    : undefined
  if (entry.has('clientType'))
    draft.note(
      'dropped',
      '',
      'clientType is an attribute of the client (type: device, application), not a condition of rules',
    )
  const common = { path: entry.path, name: entry.text('name', 65_535) ?? 'credential' }
  if (!type || !value) return undefined
  if (type === 'MQTT_BASIC') return readBasic(value, common, draft)
  return type === 'SCRAM' ? readScram(value, common, draft) : readX509(value, common, order, draft)
}

/** Refuses the rest to the clients of a credential, so that one further down adds nothing. */
function addBlock({ path, name, when }: Credential, priority: number, draft: ImportDraft): void {
  draft.addRule(path, {
    id: draft.idFor(`${name}-nothing-else`, path, 'nothing-else'),
    effect: 'deny',
    priority,
    when,
    actions: ['publish', 'subscribe', 'receive'],
    topics: [{ filter: '#', dollar: true }],
  })
}

function addFamily(credentials: readonly Credential[], draft: ImportDraft): void {
  const orders = [...new Set(credentials.map(({ order }) => order))].toSorted((a, b) => a - b)
  if (orders.length > 1 && credentials.some(({ family }) => family === 'basic'))
    draft.note(
      'ambiguous',
      '',
      'a client may have several Basic credentials, and TBMQ takes any whose password fits; here the one for user name and client id decides, then the one for the user name',
    )
  const ranks = new Map(orders.map((order, i) => [order, i]))
  for (const credential of credentials) {
    const tier = 2 * (orders.length - 1 - (ranks.get(credential.order) ?? 0))
    credential.add({ priority: tier })
    if (tier > 0) addBlock(credential, tier - 1, draft)
  }
}

/** Adds the rules of credentials; where several can be for one client, the first decides alone. */
export function importCredentials(entries: readonly Reader[], draft: ImportDraft): void {
  const credentials = entries.flatMap((entry, i) => readCredential(entry, i, draft) ?? [])
  for (const family of ['basic', 'scram', 'x509'] as const)
    addFamily(
      credentials.filter((one) => one.family === family),
      draft,
    )
}
