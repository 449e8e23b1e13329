import type { WhenDocument } from '../document.ts'
import type { Reader } from '../problems.ts'
import type { ImportDraft } from './import-draft.ts'
import { refuseUnknown } from './read-source.ts'
import { TOP_PRIORITY } from './tbmq-rules.ts'

const MEMBERS = [
  'type',
  'expirationTime',
  'status',
  'description',
  'value',
  'clientId',
  'username',
  'ipAddress',
  'pattern',
  'regexMatchTarget',
]
const MAX_TEXT = 1_024
/** The latest time that a date can have. */
const MAX_TIME_MS = 8.64e15

/** The member that holds the value of each type, beside `value`. */
const valueNames = { CLIENT_ID: 'clientId', USERNAME: 'username', IP_ADDRESS: 'ipAddress', REGEX: 'pattern' } as const
type BlockedType = keyof typeof valueNames
const blockedTypes = Object.keys(valueNames) as BlockedType[]

export function isBlockedClient(entry: Reader): boolean {
  return blockedTypes.some((type) => type === entry.json['type'])
}

function regexTest(entry: Reader, regex: string): WhenDocument | undefined {
  const target = entry.word('regexMatchTarget', ['BY_CLIENT_ID', 'BY_USERNAME', 'BY_IP_ADDRESS'])
  if (!entry.has('regexMatchTarget')) entry.refuse('regexMatchTarget', 'required with REGEX')
  if (target === 'BY_IP_ADDRESS')
    entry.refuse(
      'regexMatchTarget',
      'an address is not matched by a regular expression here; block nets such as 10.0.0.0/8',
    )
  if (target === undefined || target === 'BY_IP_ADDRESS') return undefined
  return { [target === 'BY_CLIENT_ID' ? 'clientId' : 'username']: { regex, mode: 'full' } }
}

function testOf(entry: Reader, type: BlockedType, draft: ImportDraft): WhenDocument | undefined {
  const name = entry.has(valueNames[type]) ? valueNames[type] : 'value'
  const value = entry.text(name, MAX_TEXT)
  if (!entry.has(name)) entry.refuse(valueNames[type], `required with ${type}`)
  if (value === undefined) return undefined
  if (type === 'REGEX') return regexTest(entry, value)
  if (type === 'CLIENT_ID') return { clientId: { eq: value } }
  if (type === 'USERNAME')
    draft.note('stricter', '', 'a blocked user name holds for SCRAM too, where TBMQ does not look at it')
  if (type === 'USERNAME') return { username: { eq: value } }
  draft.note('stricter', '', 'a blocked address is compared as an address, whatever its spelling')
  return { ip: [value] }
}

/** Adds a deny of `connect` for one blocked client. */
export function importBlockedClient(entry: Reader, draft: ImportDraft): void {
  refuseUnknown(entry, MEMBERS)
  const type = entry.word('type', blockedTypes)
  const status = entry.word('status', ['ACTIVE', 'EXPIRED', 'DELETING_SOON'])
  const expiresMs = entry.integer('expirationTime', -1, MAX_TIME_MS) ?? 0
  const when = type && testOf(entry, type, draft)
  const isOver = status === 'EXPIRED' || status === 'DELETING_SOON'
  if (isOver) draft.note('dropped', entry.path, `no longer in force: ${status}`)
  if (!when || isOver) return
  if (expiresMs > 0)
    draft.note(
      'stricter',
      entry.at('expirationTime'),
      `ends at ${new Date(expiresMs).toISOString()} in TBMQ; a policy has no clock, so take the rule out then`,
    )
  draft.addRule(entry.path, {
    id: draft.countedId('blocked'),
    effect: 'deny',
    priority: TOP_PRIORITY,
    when,
    actions: ['connect'],
  })
}
