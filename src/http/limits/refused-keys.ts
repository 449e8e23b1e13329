import { hash } from 'node:crypto'
import type { LimitRefusal } from './limit-refusal.ts'
import type { Consumer } from './quotas.ts'

/**
 * API keys whose quota is used up, until their window ends: a flood is refused by the text of its key alone, which costs a
 * third of finding out once more whose it is. Keys are remembered by their SHA-256.
 */
export interface RefusedKeys {
  readonly isEmpty: boolean
  /** The key has been authenticated, and everything that it sends within `forMs` is beyond its quota. */
  remember(presented: string, refused: RefusedKey, forMs: number): void
  find(presented: string): RefusedKey | undefined
}

export interface RefusedKey {
  readonly consumer: Consumer
  readonly refusal: LimitRefusal
}

const MAX_KEYS = 10_000

const digestOf = (presented: string) => hash('sha256', presented, 'base64')

export function createRefusedKeys({ monotonic }: { monotonic: () => number }): RefusedKeys {
  const keys = new Map<string, RefusedKey & { untilMs: number }>()
  let lastUntilMs = 0
  return {
    get isEmpty() {
      return keys.size === 0
    },
    remember(presented, refused, forMs) {
      if (keys.size >= MAX_KEYS) keys.clear() // they are refused the slower way
      lastUntilMs = Math.max(lastUntilMs, monotonic() + forMs)
      keys.set(digestOf(presented), { ...refused, untilMs: monotonic() + forMs })
    },
    find(presented) {
      const nowMs = monotonic()
      if (nowMs >= lastUntilMs) {
        keys.clear()
        return undefined
      }
      const found = keys.get(digestOf(presented))
      return found && nowMs < found.untilMs ? found : undefined
    },
  }
}
