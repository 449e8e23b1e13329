import { connectionFacts } from '../connection-facts.ts'
import type { Credentials, Provider, Verdict } from '../provider.ts'
import type { ProviderDeps } from '../provider-deps.ts'
import { createSharedTurns, holderOf, untilAborted } from '../shared-turns.ts'
import { type FollowOptions, followUsers } from './follow-users.ts'
import { MAX_PASSWORD_BYTES, type PasswordHash, verifyPassword } from './password-hash.ts'
import { createRemembered } from './remembered.ts'
import type { UsersFileSettings } from './settings.ts'
import type { User } from './user.ts'

export interface UsersFile extends Provider {
  /** For SCRAM, which finds its keys here and says by itself who was let in. Finds disabled users, too. */
  find(username: string): User | undefined
  /** Looks at the file now instead of within half a second. */
  refresh(): Promise<void>
  close(): Promise<void>
}

export interface UsersFileDeps
  extends Pick<ProviderDeps, 'name' | 'clock' | 'log'>,
    Pick<FollowOptions, 'lookMs' | 'files'> {
  /** For tests that count hashes or hold them up. */
  readonly verify?: (hash: PasswordHash, password: Uint8Array) => Promise<boolean>
}

const UNKNOWN: Verdict = { outcome: 'skip', reason: 'unknown-user' }
const WRONG: Verdict = { outcome: 'refuse', reason: 'wrong-password' }
const UNAVAILABLE: Verdict = { outcome: 'refuse', reason: 'unavailable' }

function judge(user: User, isRight: boolean, credentials: Credentials): Verdict {
  if (!isRight || user.passwordHash === undefined) return WRONG
  if (!user.enabled) return { outcome: 'refuse', reason: 'disabled' }
  if (user.clientIds && !user.clientIds.includes(credentials.clientId)) {
    return { outcome: 'refuse', reason: 'client-id-invalid' }
  }
  const identity = { ...connectionFacts(credentials), ...user.identity, auth: 'basic' } as const
  return { outcome: 'success', identity, grant: user.grant }
}

/**
 * Opens a users file as a provider. A name that nobody has is skipped, after the same hashing as for a known one; a wrong
 * password and a disabled user are refused. What cannot be hashed in time, or for too many others, is `unavailable`.
 *
 * @throws {UsersFileInvalid} when the file cannot be taken at the start
 */
export async function createUsersFile(settings: UsersFileSettings, deps: UsersFileDeps): Promise<UsersFile> {
  const { name, clock, log, verify = verifyPassword } = deps
  const users = await followUsers({ ...deps, path: settings.path })
  const turns = createSharedTurns(settings.hashing)
  const remembered = createRemembered({ forMs: settings.remember_s * 1000, now: () => clock.monotonic() })

  async function hashAndRemember(key: string, hash: PasswordHash, password: Uint8Array): Promise<boolean | undefined> {
    const known = remembered.get(key) // the same client may have asked twice, and been answered while this waited
    if (known !== undefined) return known
    try {
      const isRight = await verify(hash, password)
      remembered.set(key, isRight)
      return isRight
    } catch (err) {
      log.error({ provider: name, err }, 'a password could not be hashed; the client is refused')
      return undefined
    }
  }

  return {
    name,
    async authenticate(credentials, signal) {
      const { username = '' } = credentials
      const password = credentials.password?.reveal()
      if (username === '' || password === undefined) return { outcome: 'skip', reason: 'no-credentials' }
      const { byName, dummyFor } = users.current
      if (password.length > MAX_PASSWORD_BYTES) return byName.has(username) ? WRONG : UNKNOWN
      const hash = byName.get(username)?.passwordHash ?? dummyFor(username)
      const key = remembered.keyOf(username, hash, password)
      const ask = () => turns.run(holderOf(credentials), () => hashAndRemember(key, hash, password), signal)
      const isRight = remembered.get(key) ?? (await untilAborted(ask(), signal))
      if (isRight === undefined) return UNAVAILABLE

      const user = users.current.byName.get(username) // as it is now, not as it was before the hashing
      if (user === undefined) return UNKNOWN
      const isOfThisHash = user.passwordHash === undefined || user.passwordHash.text === hash.text
      return isOfThisHash ? judge(user, isRight, credentials) : UNAVAILABLE
    },
    holds(grant) {
      const user = users.current.byName.get(grant.slice(grant.indexOf('.') + 1))
      return user?.enabled === true && user.grant === grant
    },
    find: (username) => users.current.byName.get(username),
    refresh: users.refresh,
    close: users.close,
  }
}
