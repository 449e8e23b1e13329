import { type Identity, valueAt } from './identity.ts'
import { isInNet, parseIpAddress, parseIpNet } from './ip-address.ts'
import { isJsonObject, kindOf, Reader } from './problems.ts'
import { comparableText } from './render.ts'
import type { WhenMember } from './rule.ts'
import { type Aliases, resolvePath } from './template.ts'
import { parseTextCondition } from './text-condition.ts'

type Holds = WhenMember['holds']

const NEVER: Holds = () => false
const MAX_LIST = 1_000
const MAX_DEPTH = 8
const MAX_TEXT = 1_024

const memberKeys = ['type', 'auth', 'listener', 'protocol'] as const
const setKeys = ['groups', 'roles', 'scopes'] as const
const words: Readonly<Record<string, readonly unknown[]>> = {
  type: ['device', 'application', 'service', 'user', 'anonymous'],
  auth: ['basic', 'jwt', 'x509', 'scram', 'http', 'apikey', 'anonymous'],
  protocol: [3, 4, 5],
}

/** The elements of a list of texts; a problem for each that is none. */
function texts(reader: Reader, name: string): readonly string[] {
  return reader.list(name, MAX_LIST).flatMap(({ value, path }) => {
    if (typeof value === 'string' && value.length <= MAX_TEXT) return [value]
    reader.problems.add(
      path,
      typeof value === 'string' ? `longer than ${MAX_TEXT} characters` : `must be text, is ${kindOf(value)}`,
    )
    return []
  })
}

/** `type`, `auth`, `listener`, `protocol`: one of the words, or a list of them. */
function parseMembership(reader: Reader, name: (typeof memberKeys)[number]): Holds {
  const value = reader.json[name]
  const listed = Array.isArray(value) ? reader.list(name, MAX_LIST).map((one) => one.value) : [value]
  const allowed = words[name]
  for (const one of listed) {
    const fits = allowed ? allowed.includes(one) : typeof one === 'string' && one.length <= MAX_TEXT
    if (!fits)
      reader.refuse(name, allowed ? `each must be one of ${allowed.join(', ')}` : 'must be text or a list of texts')
  }
  const members = new Set(listed)
  return (identity) => members.has(identity[name])
}

function setOf(identity: Identity, name: (typeof setKeys)[number]): readonly unknown[] {
  const value: unknown = Object.hasOwn(identity, name) ? identity[name] : undefined
  return Array.isArray(value) ? value : []
}

/** `groups`, `roles`, `scopes`: a list means anyOf. */
function parseSetTest(reader: Reader, name: (typeof setKeys)[number]): Holds {
  if (Array.isArray(reader.json[name])) {
    const wanted = new Set<unknown>(texts(reader, name))
    return (identity) => setOf(identity, name).some((element) => wanted.has(element))
  }
  const tests = reader.object(name)
  if (!tests) return NEVER
  const known = ['anyOf', 'allOf', 'noneOf', 'anyPrefix']
  tests.refuseUnknown(known)
  if (!known.some((one) => tests.has(one))) reader.refuse(name, `needs one of ${known.join(', ')}`)
  const anyOf = tests.has('anyOf') ? new Set<unknown>(texts(tests, 'anyOf')) : undefined
  const allOf = texts(tests, 'allOf')
  const noneOf = new Set<unknown>(texts(tests, 'noneOf'))
  const prefixes = tests.has('anyPrefix') ? texts(tests, 'anyPrefix') : undefined
  if (prefixes?.includes('')) tests.refuse('anyPrefix', 'an empty prefix is everything')
  return (identity) => {
    const elements = setOf(identity, name)
    if (anyOf && !elements.some((element) => anyOf.has(element))) return false
    if (!allOf.every((one) => elements.includes(one))) return false
    if (elements.some((element) => noneOf.has(element))) return false
    const starts = (element: unknown) => prefixes?.some((one) => typeof element === 'string' && element.startsWith(one))
    return !prefixes || elements.some(starts)
  }
}

function parseIpTest(reader: Reader): Holds {
  const value = reader.json['ip']
  const listed = typeof value === 'string' ? [value] : texts(reader, 'ip')
  const nets = listed.flatMap((text) => {
    const net = parseIpNet(text)
    if (!net) reader.refuse('ip', 'each must be an address or a net such as 10.0.0.0/8')
    return net ?? []
  })
  return (identity) => {
    const address = typeof identity.ip === 'string' ? parseIpAddress(identity.ip) : undefined
    return address !== undefined && nets.some((net) => isInNet(address, net))
  }
}

/** `anyOf`, `allOf`, `noneOf` over whole `when` objects. */
function parseComposition(reader: Reader, name: 'anyOf' | 'allOf' | 'noneOf', aliases: Aliases, depth: number): Holds {
  const parts = reader.list(name, MAX_LIST).map(({ value, path }) => {
    if (isJsonObject(value)) return parseWhen(new Reader(value, path, reader.problems), aliases, depth + 1)
    reader.problems.add(path, `must be an object, is ${kindOf(value)}`)
    return []
  })
  const holds = (identity: Identity) => (members: readonly WhenMember[]) => members.every((one) => one.holds(identity))
  if (name === 'anyOf') return (identity) => parts.some(holds(identity))
  if (name === 'allOf') return (identity) => parts.every(holds(identity))
  return (identity) => !parts.some(holds(identity))
}

function parsePathTest(reader: Reader, key: string, aliases: Aliases): Holds {
  const path = resolvePath(key, aliases)
  if (typeof path === 'string') {
    reader.refuse(key, path)
    return NEVER
  }
  const test = parseTextCondition(reader, key)
  return test ? (identity) => test(comparableText(valueAt(identity, path)), valueAt(identity, path)) : NEVER
}

/** Reads the members of a `when`, all of which must hold. */
export function parseWhen(reader: Reader, aliases: Aliases, depth = 1): readonly WhenMember[] {
  if (depth > MAX_DEPTH) {
    reader.problems.add(reader.path, `nested deeper than ${MAX_DEPTH}`)
    return []
  }
  const holdsOf = (key: string): Holds => {
    const member = memberKeys.find((one) => one === key)
    if (member) return parseMembership(reader, member)
    const set = setKeys.find((one) => one === key)
    if (set) return parseSetTest(reader, set)
    if (key === 'anyOf' || key === 'allOf' || key === 'noneOf') return parseComposition(reader, key, aliases, depth)
    if (key === 'ip') return parseIpTest(reader)
    if (key !== 'tls') return parsePathTest(reader, key, aliases)
    const wanted = reader.boolean('tls', false)
    return (identity) => (identity.tls === true) === wanted
  }
  return Object.keys(reader.json).map((key) => ({ key, holds: holdsOf(key) }))
}
