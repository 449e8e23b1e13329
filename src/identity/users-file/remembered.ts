import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { PasswordHash } from './password-hash.ts'

/** What hashing found out, so that a client that connects again costs no hash: right and wrong answers apart. */
export interface Remembered {
  /** The key of a question; says nothing about the password without this process's memory. */
  keyOf(username: string, hash: PasswordHash, password: Uint8Array): string
  get(key: string): boolean | undefined
  set(key: string, isRight: boolean): void
}

/** Right answers make up a fleet; wrong ones come in any number, and must not push them out. */
const MAX_RIGHT = 100_000
const MAX_WRONG = 10_000

/**
 * Creates the memory. The stored hash is part of the key: a changed password or a new dummy is another question, so nothing here
 * can be out of date; whether a user is there and enabled is asked elsewhere, each time.
 */
export function createRemembered({ forMs, now }: { forMs: number; now: () => number }): Remembered {
  const secret = randomBytes(32)
  const cacheOf = (max: number) => new LRUCache<string, boolean>({ max, ttl: forMs, ttlResolution: 0, perf: { now } })
  const right = cacheOf(MAX_RIGHT)
  const wrong = cacheOf(MAX_WRONG)
  return {
    keyOf(username, hash, password) {
      const mac = createHmac('sha256', secret)
      return mac.update(`${username.length}:${username}${hash.text}:`).update(password).digest('base64')
    },
    get: (key) => right.get(key) ?? wrong.get(key),
    set(key, isRight) {
      if (forMs > 0) (isRight ? right : wrong).set(key, isRight)
    },
  }
}
