import { randomBytes } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { loadUsers, type Users } from './load-users.ts'
import { UsersFileInvalid } from './parse-users.ts'
import { lookAtFile, readUsersFile } from './read-users-file.ts'

/** The users of a file, as it is now or was when it was last good. */
export interface FollowedUsers {
  readonly current: Users
  /** Looks at the file now; resolves when what it says is in force, or was refused. The timer does the same. */
  refresh(): Promise<void>
  close(): Promise<void>
}

export interface FollowOptions {
  readonly path: string
  /** Of the provider, for the log. */
  readonly name: string
  readonly clock: Clock
  readonly log: Log
  /** Milliseconds between looks; 500 when absent. */
  readonly lookMs?: number
  /** For tests of file systems that nobody has at hand. */
  readonly files?: { lookAtFile: typeof lookAtFile; readUsersFile: typeof readUsersFile }
}

/** Watching misses files behind links, in volumes of containers and on network file systems; looking does not. */
const LOOK_MS = 500
/**
 * A stamp is trusted to tell of changes once it has been there for so long: file systems that count whole seconds cannot tell a
 * second change within one. Until then each look reads the file. By our own clock: the file system's may be another machine's.
 */
const SETTLED_MS = 2_500
/** A file that stays bad is complained about again after this time. */
const COMPLAIN_MS = 60_000
/** A look that takes longer is complained about: a network file system may not answer at all, and nobody is withdrawn then. */
const SLOW_MS = 10_000
const MOUNTED_ALONE = 'was replaced or deleted, and what is mounted here is the old one: mount the folder that holds it'

/** A file that was read: one with the same stamp, or with the same digest, is the same file. An empty one equals none. */
interface Seen {
  readonly stamp: string
  readonly digest: string
}
const NOTHING: Seen = { stamp: '', digest: '' }

/**
 * Reads a users file and follows it. A new state of the file is taken as a whole or not at all: while it is invalid, half written
 * or gone, the users from before stay, and the log says so.
 *
 * @throws {UsersFileInvalid} when the file cannot be taken at the start
 */
export async function followUsers(options: FollowOptions): Promise<FollowedUsers> {
  const { path, name, clock, log, lookMs = LOOK_MS, files = { lookAtFile, readUsersFile } } = options
  const dummyKey = randomBytes(32)
  const first = await files.readUsersFile(path)
  const wasInFolder = first.isInFolder
  let current = await loadUsers(first.bytes, dummyKey)
  let taken: Seen = { stamp: '', digest: first.digest }
  let bad: { seen: Seen; problems: readonly string[]; complainedAt: number } | undefined
  let newest = { stamp: '', sinceMs: 0 }

  function complain(seen: Seen, problems: readonly string[], err?: unknown): void {
    const isKnown = bad !== undefined && bad.problems.join() === problems.join()
    const isDue = !isKnown || clock.monotonic() - (bad?.complainedAt ?? 0) >= COMPLAIN_MS
    const fields = { provider: name, path, problems, ...(err === undefined ? {} : { err }) }
    if (isDue) log.error(fields, 'the users file is not taken; the users from before stay')
    bad = { seen, problems, complainedAt: isDue ? clock.monotonic() : (bad?.complainedAt ?? 0) }
  }

  function take(seen: Seen, users: Users | undefined): void {
    if (users) current = users
    taken = seen
    if (users ?? bad) log.info({ provider: name, path, users: current.byName.size }, 'the users file is taken')
    bad = undefined
  }

  async function read(isSettled: boolean): Promise<void> {
    const { bytes, digest, stamp } = await files.readUsersFile(path)
    const seen = { digest, stamp: isSettled && stamp === newest.stamp ? stamp : '' }
    if (digest === taken.digest) return take(seen, undefined)
    if (bad && digest === bad.seen.digest) return complain(seen, bad.problems)
    try {
      take(seen, await loadUsers(bytes, dummyKey))
    } catch (err) {
      if (!(err instanceof UsersFileInvalid)) throw err
      complain(seen, err.problems)
    }
  }

  async function look(): Promise<void> {
    const slow = setTimeout(() => complain(NOTHING, ['is not read yet: reading takes very long']), SLOW_MS).unref()
    try {
      const { stamp, isInFolder } = await files.lookAtFile(path)
      if (wasInFolder && !isInFolder) return complain(NOTHING, [MOUNTED_ALONE])
      if (stamp !== newest.stamp) newest = { stamp, sinceMs: clock.monotonic() }
      if (bad && stamp === bad.seen.stamp) complain(bad.seen, bad.problems)
      else if (bad || stamp !== taken.stamp) await read(clock.monotonic() - newest.sinceMs >= SETTLED_MS)
    } catch (err) {
      if (err instanceof UsersFileInvalid) complain(NOTHING, err.problems)
      else complain(NOTHING, ['cannot be read now'], err) // no fault of the file: the next look tries again
    } finally {
      clearTimeout(slow)
    }
  }

  let looking = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const refresh = () => {
    looking = looking.then(look)
    return looking
  }
  function lookLater(): void {
    if (closed) return
    timer = setTimeout(() => void refresh().then(lookLater), lookMs).unref()
  }
  lookLater()

  return {
    get current() {
      return current
    },
    refresh,
    async close() {
      closed = true
      clearTimeout(timer)
      await looking
    },
  }
}
