import type { Identity } from '#src/policy/identity.ts'
import { stands } from './mqtt-model.ts'

export interface Acl {
  readonly acltype: string
  readonly topic: string
  readonly priority?: number
  readonly allow: boolean
}

export interface Named {
  readonly priority?: number
}

export interface DynsecConfig {
  readonly defaultACLAccess?: Readonly<
    Partial<Record<'publishClientSend' | 'publishClientReceive' | 'subscribe' | 'unsubscribe', boolean>>
  >
  readonly clients?: readonly {
    readonly username: string
    readonly roles?: readonly (Named & { rolename: string })[]
    readonly groups?: readonly (Named & { groupname: string })[]
  }[]
  readonly groups?: readonly {
    readonly groupname: string
    readonly roles?: readonly (Named & { rolename: string })[]
  }[]
  readonly roles?: readonly {
    readonly rolename: string
    readonly acls?: readonly Acl[]
    readonly allowwildcardsubs?: boolean
  }[]
  readonly anonymousGroup?: string
}

const highestFirst = <T extends Named>(list: readonly T[] = []): readonly T[] =>
  [...list].sort((a, b) => (b.priority ?? 0) - (a.priority ?? 0))

/** Whether a pattern of a role contains a filter: what is asked for a SUBSCRIBE, for a deny too. */
function contains(pattern: string, filter: string): boolean {
  const [wanted, given] = [pattern.split('/'), filter.split('/')]
  if (pattern.startsWith('$') !== filter.startsWith('$')) return false
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true
    if (given[i] === undefined || given[i] === '#') return false
    if (level !== '+' && level !== given[i]) return false
  }
  return wanted.length === given.length
}

/** What dynamic security answers: the roles of the client, then of its groups, each list by priority; the first entry decides. */
export function dynsecAllows(
  config: DynsecConfig,
  { username, clientId = '' }: Identity,
  kind: 'publishClientSend' | 'publishClientReceive' | 'subscribe',
  topic: string,
): boolean {
  const client = config.clients?.find((one) => one.username === username)
  if (username !== undefined && !client) return false
  const rolesOf = (list: readonly (Named & { rolename: string })[] | undefined) =>
    highestFirst(list).flatMap(({ rolename }) => config.roles?.filter((role) => role.rolename === rolename) ?? [])
  const groupNames =
    username === undefined ? [config.anonymousGroup] : highestFirst(client?.groups).map(({ groupname }) => groupname)
  const groups = groupNames.flatMap((name) => config.groups?.filter((group) => group.groupname === name) ?? [])
  const fill = (text: string) =>
    text
      .split('/')
      .map((level) => (level === '%c' ? clientId : level === '%u' ? (username ?? '\u0000') : level))
      .join('/')
  for (const role of [...rolesOf(client?.roles), ...groups.flatMap((group) => rolesOf(group.roles))]) {
    const isSubscribe = kind === 'subscribe'
    if (isSubscribe && role.allowwildcardsubs === false && /[+#]/.test(topic)) return false
    const acls = highestFirst(role.acls)
    const literal = isSubscribe
      ? acls.find((acl) => acl.acltype === 'subscribeLiteral' && acl.topic === topic)
      : undefined
    const wanted = isSubscribe ? 'subscribePattern' : kind
    const hit =
      literal ??
      acls.find(
        (acl) =>
          acl.acltype === wanted && (isSubscribe ? contains(fill(acl.topic), topic) : stands(fill(acl.topic), topic)),
      )
    if (hit) return hit.allow
  }
  return config.defaultACLAccess?.[kind] === true && !topic.startsWith('$CONTROL')
}
