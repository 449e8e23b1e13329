import type { Identity } from '../../policy/identity.ts'
import { isJsonObject, type JsonObject } from '../../policy/problems.ts'
import type { ClaimPath, ClaimSource, ClaimsSettings, ClientTypeSettings } from './settings.ts'

/** What the claims of a token say, whoever shows it. */
export interface MappedClaims {
  readonly identity: Pick<Identity, 'username' | 'type' | 'sub' | 'org' | 'groups' | 'roles' | 'scopes' | 'claims'>
  /** What a username beside the token may be. */
  readonly names: ReadonlySet<string>
}

/** A claim that is needed is missing, or one is not what it should be. The path is for the operator's log. */
export class ClaimFault extends Error {
  override readonly name = 'ClaimFault'
  constructor(path: ClaimPath, rule: string) {
    super(`claim ${path.join('.')} ${rule}`)
  }
}

const MAX_NAME = 1_024
const MAX_ELEMENT = 256
const MAX_ELEMENTS = 1_000
const SERVICE_PREFIX = 'service-account-'
/** What a service is known by; the first that is there (CELINE: the client of a client-credentials grant). */
const SERVICE_IDS: readonly ClaimPath[] = [['client_id'], ['clientId'], ['azp']]

/** The values at a path; `*` stands for every member of an object. `null` counts as missing. */
export function valuesAt(claims: JsonObject, path: ClaimPath): readonly unknown[] {
  let values: readonly unknown[] = [claims]
  for (const name of path)
    values = values.flatMap((value): unknown[] => {
      if (!isJsonObject(value)) return []
      if (name === '*') return Object.values(value)
      return Object.hasOwn(value, name) ? [value[name]] : []
    })
  return values.filter((value) => value !== null && value !== undefined)
}

function isName(value: unknown, maxLength: number): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    value.length <= maxLength &&
    value.isWellFormed() &&
    !/\p{Cc}/u.test(value)
  )
}

/** The text at a path, `undefined` where there is none. @throws {ClaimFault} for anything else */
function nameAt(claims: JsonObject, path: ClaimPath): string | undefined {
  const [value, ...more] = valuesAt(claims, path)
  if (value === undefined) return undefined
  if (more.length > 0 || !isName(value, MAX_NAME))
    throw new ClaimFault(path, `must be text of 1 to ${MAX_NAME} characters`)
  return value
}

function requiredName(claims: JsonObject, path: ClaimPath): string {
  const name = nameAt(claims, path)
  if (name === undefined) throw new ClaimFault(path, 'is missing')
  return name
}

type Split = (value: unknown) => unknown

const asList: Split = (value) => value
/** RFC 8693 §4.2: one text; some issuers write a list. */
const asWords: Split = (value) => (typeof value === 'string' ? value.split(/ +/).filter((word) => word !== '') : value)

/** The elements of all sources together, each once. @throws {ClaimFault} */
function elementsAt(claims: JsonObject, sources: readonly ClaimSource[], split: Split): readonly string[] {
  const elements = new Set<string>()
  for (const { claim, optional } of sources) {
    const values = valuesAt(claims, claim)
    if (values.length === 0 && !optional) throw new ClaimFault(claim, 'is missing')
    for (const value of values) {
      const list = split(value)
      if (!Array.isArray(list) || list.length > MAX_ELEMENTS)
        throw new ClaimFault(claim, `must be a list of at most ${MAX_ELEMENTS} texts`)
      for (const element of list as readonly unknown[]) {
        if (!isName(element, MAX_ELEMENT))
          throw new ClaimFault(claim, `must hold texts of 1 to ${MAX_ELEMENT} characters`)
        elements.add(element)
      }
    }
  }
  if (elements.size > MAX_ELEMENTS)
    throw new ClaimFault(sources[0]?.claim ?? [], `and its like hold more than ${MAX_ELEMENTS} texts`)
  return [...elements]
}

/** The groups of Keycloak begin with a slash where they are paths. */
function withoutSlash(groups: readonly string[]): readonly string[] {
  return [...new Set(groups.map((group) => group.replace(/^\//, '')).filter((group) => group !== ''))]
}

type ClientType = ClientTypeSettings['default']

function typeOf(claims: JsonObject, { default: fallback, rules }: ClientTypeSettings): ClientType {
  const rule = rules.find(({ when }) =>
    when.every(({ claim, equals, prefix }) => {
      const values = valuesAt(claims, claim)
      if (prefix !== undefined) return nameAt(claims, claim)?.startsWith(prefix) ?? false
      return equals === undefined ? values.length > 0 : values.length === 1 && values[0] === equals
    }),
  )
  return rule?.type ?? fallback
}

/** The names of the client that a token was issued to. */
function serviceIds(claims: JsonObject): readonly string[] {
  const account = nameAt(claims, ['preferred_username'])
  const name = account?.startsWith(SERVICE_PREFIX) === true ? account.slice(SERVICE_PREFIX.length) : ''
  return [...SERVICE_IDS.flatMap((path) => nameAt(claims, path) ?? []), ...(name === '' ? [] : [name])]
}

/**
 * Makes of verified claims what policies ask about. A claim that is needed and missing, and one of another type than it should
 * have, refuses: neither falls back to something that was not verified. The subject of a service is its client id, and its groups
 * are not looked at; that of everybody else is `sub`.
 *
 * @throws {ClaimFault}
 */
export function mapClaims(claims: JsonObject, settings: ClaimsSettings, types: ClientTypeSettings): MappedClaims {
  const subject = requiredName(claims, ['sub'])
  const username = requiredName(claims, settings.username)
  const type = typeOf(claims, types)
  const ids = serviceIds(claims)
  const groups = type === 'service' ? [] : withoutSlash(elementsAt(claims, settings.groups, asList))
  const org = settings.org && nameAt(claims, settings.org.claim)
  if (settings.org && !settings.org.optional && org === undefined)
    throw new ClaimFault(settings.org.claim, 'is missing')
  const preferred = nameAt(claims, ['preferred_username'])
  return {
    identity: {
      username,
      type,
      sub: type === 'service' ? (ids[0] ?? subject) : subject,
      ...(org === undefined ? {} : { org }),
      groups,
      roles: elementsAt(claims, settings.roles, asList),
      scopes: elementsAt(claims, settings.scopes, asWords),
      claims,
    },
    names: new Set([username, subject, ...(preferred === undefined ? [] : [preferred]), ...ids]),
  }
}

/** Whether the claims have the values that the configuration wants of somebody who connects so. */
export function meetsExpectations(
  claims: JsonObject,
  expectations: ClaimsSettings['expect'],
  connect: { readonly username: string | undefined; readonly clientId: string },
): boolean {
  return expectations.every(({ claim, equals }) => {
    const wanted = equals === '${username}' ? connect.username : equals === '${clientId}' ? connect.clientId : equals
    const values = valuesAt(claims, claim)
    return wanted !== undefined && values.length === 1 && values[0] === wanted
  })
}
