import { formatIpNet, type IpNet, maskedTo, parseIpAddress, parseIpNet } from '../../policy/ip-address.ts'
import { textRegexProblem } from '../../policy/regex/check-regex.ts'
import { compileTextPattern } from '../../policy/regex/compile-regex.ts'
import { fullEffort } from '../../policy/regex/effort.ts'

/** What an entry is compared with. Expressions match the whole text; an address may be a net such as `10.0.0.0/8`. */
export const blockedTypes = ['client_id', 'username', 'ip', 'client_id_regex', 'username_regex'] as const
export type BlockedType = (typeof blockedTypes)[number]

export interface BlockedClient {
  readonly id: string
  readonly tenantId: string
  readonly type: BlockedType
  readonly value: string
  readonly description: string
  readonly createdAt: Date
  readonly createdBy: string
  /** `null`: it does not expire. */
  readonly expiresAt: Date | null
}

/** Bytes of UTF-8 in a value. */
export const MAX_VALUE_BYTES = 512
/** Longer names are not put to expressions; with one there, they count as matched. */
const MAX_JUDGED = 1_024
/** A JWT, whole. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]*$/
const ANY = { matches: () => true }

export const isRegex = (type: BlockedType): boolean => type === 'client_id_regex' || type === 'username_regex'

/** Says what is wrong with a value; `undefined` when nothing is. */
export function valueProblem(type: BlockedType, value: string): string | undefined {
  if (value === '' || Buffer.byteLength(value) > MAX_VALUE_BYTES) return `must have 1 to ${MAX_VALUE_BYTES} bytes`
  if (!value.isWellFormed() || value.includes('\0')) return 'must be well-formed text without NUL'
  if (type === 'ip') return parseIpNet(value) ? undefined : 'must be an IP address or a net such as 10.0.0.0/8'
  const problem = isRegex(type) ? textRegexProblem(value) : undefined
  return problem && `${problem.message} (at character ${problem.position + 1})`
}

/** The one spelling of a value that {@link valueProblem} finds nothing wrong with. */
export function canonicalValue(type: BlockedType, value: string): string {
  const net = type === 'ip' ? parseIpNet(value) : undefined
  return net ? formatIpNet(net) : value
}

export interface Subject {
  readonly clientId: string
  readonly username?: string
  readonly ip?: string
}

/** Ids that stand in the place of an entry's where nobody can tell: they refuse. */
export const UNKNOWN_LIST = 'list-not-known'
export const UNREADABLE_ADDRESS = 'address-not-readable'

export type Judge = (subject: Subject) => string | undefined

const byType = (entries: readonly BlockedClient[], type: BlockedType) => entries.filter((entry) => entry.type === type)

function exactly(entries: readonly BlockedClient[], type: BlockedType): (text: string) => string | undefined {
  const ids = new Map(byType(entries, type).map(({ value, id }) => [value, id]))
  return (text) => ids.get(text)
}

/** By length of the prefix, of which there are few: a look-up for each, however many nets there are. */
function inNets(entries: readonly BlockedClient[]): (ip: string) => string | undefined {
  const byPrefix = new Map<string, { readonly net: IpNet; readonly ids: Map<bigint, string> }>()
  for (const { id, value } of byType(entries, 'ip')) {
    const net = parseIpNet(value)
    if (!net) continue
    const key = `${net.family}/${net.prefix}`
    const same = byPrefix.get(key) ?? { net, ids: new Map<bigint, string>() }
    byPrefix.set(key, same)
    same.ids.set(net.value, id)
  }
  if (byPrefix.size === 0) return () => undefined
  return (ip) => {
    const address = parseIpAddress(ip)
    if (!address) return UNREADABLE_ADDRESS
    for (const { net, ids } of byPrefix.values()) {
      if (net.family !== address.family) continue
      const id = ids.get(maskedTo(address, net.prefix))
      if (id !== undefined) return id
    }
    return undefined
  }
}

/**
 * What is too long for expressions, or takes more than the effort of one decision, counts as matched. A token that stands in
 * the place of a username is no name: whoever it names is judged once that is known.
 */
function byPattern(entries: readonly BlockedClient[], type: BlockedType): (text: string) => string | undefined {
  const patterns = byType(entries, type).map(({ id, value }) => {
    // One that is not understood, as after a change of the engine, still means to keep somebody out.
    return { id, pattern: textRegexProblem(value) ? ANY : compileTextPattern(value, 'full') }
  })
  const isNoName = (text: string) => type === 'username_regex' && TOKEN.test(text)
  return (text) => {
    if (text.length > MAX_JUDGED) return isNoName(text) ? undefined : patterns[0]?.id
    const effort = fullEffort()
    return patterns.find(({ pattern }) => pattern.matches(text, true, effort))?.id
  }
}

/**
 * Makes the judgement of a list. What a client does not show is not compared; an address that is none is refused as soon as
 * any address is blocked. Entries must not have expired.
 */
export function createJudge(entries: readonly BlockedClient[]): Judge {
  if (entries.length === 0) return () => undefined
  const ofClientId = [exactly(entries, 'client_id'), byPattern(entries, 'client_id_regex')]
  const ofUsername = [exactly(entries, 'username'), byPattern(entries, 'username_regex')]
  const ofAddress = inNets(entries)
  const first = (tests: readonly ((text: string) => string | undefined)[], text: string | undefined) => {
    if (text === undefined) return undefined
    for (const test of tests) {
      const id = test(text)
      if (id !== undefined) return id
    }
    return undefined
  }
  return ({ clientId, username, ip }) =>
    first(ofClientId, clientId) ?? first(ofUsername, username) ?? first([ofAddress], ip)
}
