import type { RuleAction, WhenDocument } from '../document.ts'
import { quote, type Reader } from '../problems.ts'
import { byPriority, type DynsecAcl, MAX_LIST, MAX_NAME, readPriority, readRole } from './dynsec-role.ts'
import { ImportDraft } from './import-draft.ts'
import type { ImportOptions, ImportResult } from './import-result.ts'
import { objectsOf, readJsonObject, refuseUnknown, requireMembers } from './read-source.ts'

/** Entries that lists may come to: each group and each client has a copy of those of its roles. */
const MAX_COPIES = 100_000
const MAX_NAMES_IN_CONDITION = 1_000
const TOPMOST = 900_000_000

/** Members of the defaults, and what each is the default of. */
const defaults = {
  publishClientSend: 'publish',
  publishClientReceive: 'receive',
  subscribe: 'subscribe',
  unsubscribe: 'unsubscribe',
} as const satisfies Record<string, RuleAction>

/** The names of a list of `{rolename, priority}` or `{groupname, priority}`, the highest priority first. */
function readNames(holder: Reader, list: 'roles' | 'groups', known: ReadonlyMap<string, unknown>): readonly string[] {
  const member = list === 'roles' ? 'rolename' : 'groupname'
  const entries = objectsOf(holder, list, MAX_LIST).flatMap((entry) => {
    refuseUnknown(entry, [member, 'priority'])
    requireMembers(entry, [member])
    const value = entry.text(member, MAX_NAME)
    if (value === undefined) return []
    if (!known.has(value)) entry.refuse(member, `there is no ${quote(value)} in ${list}`)
    return [{ value, priority: readPriority(entry) }]
  })
  return byPriority(entries)
}

class DynamicSecurity {
  readonly #draft: ImportDraft
  readonly #roles: ReadonlyMap<string, readonly DynsecAcl[]>
  readonly #groups: ReadonlyMap<string, readonly DynsecAcl[]>
  #copies = 0

  constructor(config: Reader, draft: ImportDraft) {
    this.#draft = draft
    this.#roles = new Map(objectsOf(config, 'roles', MAX_LIST).map((role) => readRole(role, draft)))
    this.#groups = new Map(
      objectsOf(config, 'groups', MAX_LIST).map((group) => {
        refuseUnknown(group, ['groupname', 'textname', 'textdescription', 'roles', 'clients'])
        requireMembers(group, ['groupname'])
        return [group.text('groupname', MAX_NAME) ?? '', this.#aclsOf(readNames(group, 'roles', this.#roles))]
      }),
    )
  }

  /** One list after the other, as far as all lists together are not beyond reason. */
  #join(lists: readonly (readonly DynsecAcl[])[]): readonly DynsecAcl[] {
    const length = lists.reduce((sum, list) => sum + list.length, 0)
    this.#copies += length
    if (this.#copies > MAX_COPIES) this.#draft.refuse('', `its roles come to more than ${MAX_COPIES} rules`)
    return this.#copies > MAX_COPIES ? [] : lists.flat()
  }

  #aclsOf(roles: readonly string[]): readonly DynsecAcl[] {
    return this.#join(roles.map((name) => this.#roles.get(name) ?? []))
  }

  #add(acls: readonly DynsecAcl[], when: WhenDocument, stem: string): void {
    for (const [rank, { path, effect, action, matcher }] of acls.entries()) {
      const id = this.#draft.idFor(`${stem}-${rank}`, path, `acl-${rank}`)
      this.#draft.addRule(path, { id, effect, priority: TOPMOST - rank, when, actions: [action], topics: [matcher] })
    }
  }

  /** Adds the rules of a client, and answers its name; `undefined` for one that cannot connect. */
  addClient(client: Reader): string | undefined {
    refuseUnknown(client, [
      'username',
      'clientid',
      'textname',
      'textdescription',
      'password',
      'salt',
      'iterations',
      'disabled',
      'roles',
      'groups',
      'encoded_password',
    ])
    requireMembers(client, ['username'])
    const username = client.text('username', 1_024)
    const roles = this.#aclsOf(readNames(client, 'roles', this.#roles))
    const groups = this.#join(readNames(client, 'groups', this.#groups).map((name) => this.#groups.get(name) ?? []))
    if (username === undefined || client.boolean('disabled', false)) return undefined
    this.#add([...roles, ...groups], { username: { eq: username } }, `client-${username}`)
    return username
  }

  addAnonymous(config: Reader): void {
    const name = config.text('anonymousGroup', MAX_NAME)
    if (name === undefined || name === '') return
    const acls = this.#groups.get(name)
    if (acls)
      this.#add(
        acls.filter(({ namesUser }) => !namesUser),
        { username: { exists: false } },
        'anonymous',
      )
    else config.refuse('anonymousGroup', `there is no ${quote(name)} in groups`)
  }

  /** What no list decides; topics of `$CONTROL` have to be granted. */
  addDefaults(config: Reader, usernames: readonly string[]): void {
    const access = config.object('defaultACLAccess')
    if (access) refuseUnknown(access, Object.keys(defaults))
    const actions = Object.entries(defaults).flatMap(([name, action]) => (access?.boolean(name, false) ? [action] : []))
    if (actions.length === 0) return
    const known: WhenDocument[] = [{ username: { exists: false } }]
    for (let i = 0; i < usernames.length; i += MAX_NAMES_IN_CONDITION)
      known.push({ username: { in: usernames.slice(i, i + MAX_NAMES_IN_CONDITION) } })
    const shared = { actions, when: { anyOf: known } }
    const everything = { filter: '#', dollar: true }
    const control = { regex: '\\$CONTROL[\\d\\D]*' }
    this.#draft.addRule('defaultACLAccess', {
      id: this.#draft.countedId('default'),
      effect: 'allow',
      ...shared,
      topics: [everything],
    })
    this.#draft.addRule('defaultACLAccess', {
      id: this.#draft.countedId('no-default-for-control'),
      effect: 'deny',
      ...shared,
      topics: [control],
    })
  }
}

/**
 * Imports the configuration of Mosquitto's dynamic security: for each client the lists of its roles, then of its groups, in
 * order of priority; the first entry that matches decides. Publishes and deliveries are decided as there.
 */
export function importMosquittoDynsec(input: unknown, { id = 'mosquitto-dynsec' }: ImportOptions): ImportResult {
  const draft = new ImportDraft()
  const config = readJsonObject(input, draft)
  if (config) {
    refuseUnknown(config, ['defaultACLAccess', 'clients', 'groups', 'roles', 'anonymousGroup'])
    const security = new DynamicSecurity(config, draft)
    const usernames = objectsOf(config, 'clients', MAX_LIST).flatMap((client) => security.addClient(client) ?? [])
    security.addAnonymous(config)
    security.addDefaults(config, usernames)
  }
  draft.note(
    'stricter',
    '',
    'a deny refuses every SUBSCRIBE that overlaps it; dynamic security refuses only what it contains',
  )
  draft.note('stricter', '', 'an id that holds / + or # is not put into a topic: a grant with %c or %u is left out')
  const refused = { publish: 'deny', subscribe: 'deny', unsubscribe: 'deny' } as const
  return draft.finish({ id, default: refused, options: { receive: 'explicit' } })
}
