import { Worker } from 'node:worker_threads'
import { decodeUsers, UsersFileInvalid } from './parse-users.ts'
import { createDummies, type PasswordHash } from './password-hash.ts'
import { countKinds, type User } from './user.ts'
import type { UsersReply } from './users-worker.ts'

/** The users of one state of the file. */
export interface Users {
  readonly byName: ReadonlyMap<string, User>
  /** What a name that nobody has is verified against. */
  readonly dummyFor: (username: string) => PasswordHash
}

/** Longer files are read in a thread of their own: a hundred thousand users would stop the event loop for a second or more. */
const INLINE_BYTES = 65_536
const LIMITS = { timeMs: 60_000, memoryMb: 1_024 }

/**
 * Collects what a thread posts.
 *
 * @throws {UsersFileInvalid}
 * @throws {Error} when the thread takes too much time or memory, which may be for what else goes on here
 */
function decodeInThread(bytes: Uint8Array<ArrayBuffer>): Promise<Map<string, User>> {
  const users = new Map<string, User>()
  const worker = new Worker(new URL('./users-worker.ts', import.meta.url), {
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: LIMITS.memoryMb },
  })
  const { promise, resolve, reject } = Promise.withResolvers<Map<string, User>>()
  const tooCostly = () => reject(new Error('reading the users took too much time or memory'))
  const timer = setTimeout(tooCostly, LIMITS.timeMs)
  worker.on('message', (reply: UsersReply) => {
    if ('part' in reply) for (const user of reply.part) users.set(user.username, user)
    else if ('end' in reply) resolve(users)
    else reject('problems' in reply ? new UsersFileInvalid(reply.problems) : new Error(reply.failed))
  })
  worker.on('error', (err: Error & { code?: unknown }) => {
    if (err.code === 'ERR_WORKER_OUT_OF_MEMORY') tooCostly()
    else reject(err)
  })
  worker.on('exit', () => reject(new Error('the thread that reads users ended')))
  worker.postMessage(bytes)
  return promise.finally(() => {
    clearTimeout(timer)
    void worker.terminate()
  })
}

/**
 * Makes users of the bytes of a file.
 *
 * @param key of `createDummies`
 * @throws {UsersFileInvalid} when that is what is wrong; anything else is no fault of the file
 */
export async function loadUsers(bytes: Uint8Array<ArrayBuffer>, key: Uint8Array): Promise<Users> {
  const byName =
    bytes.length > INLINE_BYTES
      ? await decodeInThread(bytes)
      : new Map(decodeUsers(bytes).map((user) => [user.username, user]))
  return { byName, dummyFor: createDummies(countKinds(byName.values()), key) }
}
