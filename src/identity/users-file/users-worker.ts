import { parentPort } from 'node:worker_threads'
import { decodeUsers, UsersFileInvalid } from './parse-users.ts'
import type { User } from './user.ts'

/** What the thread posts: the users in parts, then the end; or what is wrong with the file; or that the program failed. */
export type UsersReply =
  | { readonly part: readonly User[] }
  | { readonly end: true }
  | { readonly problems: readonly string[] }
  | { readonly failed: string }

/** Users in one message: taking them up costs the event loop a few milliseconds. */
const PART = 500

parentPort?.once('message', (bytes: Uint8Array) => {
  const post = (reply: UsersReply) => parentPort?.postMessage(reply)
  try {
    const users = decodeUsers(bytes)
    for (let at = 0; at < users.length; at += PART) post({ part: users.slice(at, at + PART) })
    post({ end: true })
  } catch (err) {
    post(err instanceof UsersFileInvalid ? { problems: err.problems } : { failed: String((err as Error).stack) })
  }
})
