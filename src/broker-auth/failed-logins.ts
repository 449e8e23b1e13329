import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { RefusalReason } from '../identity/provider.ts'
import { sessionId } from './session.ts'

/** Slows down who guesses passwords, through whichever broker and with whatever client ids. */
export interface FailedLogins {
  /** `isKnown`: this name has a session with this client id, so that it is counted by itself and a guesser cannot keep it out. */
  mayTry(username: string, clientId: string, isKnown: boolean): boolean
  refused(username: string, clientId: string, isKnown: boolean, reason: RefusalReason): void
}

const WINDOW_MS = 60_000
/** Failures of a name with one client id in a minute, where that has a session. */
const OF_A_CLIENT = 20
/** Names that are counted; the one that failed longest ago goes first. */
const MAX_COUNTED = 20_000

/** What a wrong guess comes to: a name that nobody has counts as one, or the difference would tell. */
const guesses: ReadonlySet<RefusalReason> = new Set(['unknown-user', 'wrong-password', 'disabled'])

interface Window {
  readonly sinceMs: number
  failures: number
}

/** @param ofAName failures in a minute of a name with all its client ids that have no session */
export function createFailedLogins(ofAName: number, monotonic: () => number): FailedLogins {
  const windows = new LRUCache<string, Window>({ max: MAX_COUNTED })
  // Whoever may try a name chooses it, and 64 KiB of it: a digest takes the same room for each.
  const keyOf = (username: string, clientId: string, isKnown: boolean) =>
    createHash('sha256')
      .update(isKnown ? `client ${sessionId(username, clientId)}` : `name ${username}`)
      .digest('base64')
  const current = (key: string) => {
    const window = windows.get(key)
    return window !== undefined && monotonic() - window.sinceMs < WINDOW_MS ? window : undefined
  }
  return {
    mayTry: (username, clientId, isKnown) =>
      (current(keyOf(username, clientId, isKnown))?.failures ?? 0) < (isKnown ? OF_A_CLIENT : ofAName),
    refused(username, clientId, isKnown, reason) {
      if (username === '' || !guesses.has(reason)) return
      const key = keyOf(username, clientId, isKnown)
      const window = current(key)
      if (window) window.failures++
      else windows.set(key, { sinceMs: monotonic(), failures: 1 })
    },
  }
}
