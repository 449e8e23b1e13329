import { toBase64 } from '../core/base64.ts'
import { AppError } from '../core/errors.ts'
import { MAX_SKEW_S } from './expectation.ts'

export interface ReplayCache {
  /**
   * Notes an envelope that was opened; times in Unix seconds. An envelope is kept until no reader would take it any more.
   *
   * @throws {AppError} `envelope.replay` when it was opened before, or when the cache is full and cannot tell
   */
  enter(tenantId: string, leaf: Uint8Array, expS: number, nowS: number): void
  /** Takes an entry back: the plaintext was not handed out after all. */
  leave(tenantId: string, leaf: Uint8Array, expS: number): void
}

const nameOf = (tenantId: string, leaf: Uint8Array) => `${tenantId} ${toBase64(leaf)}`

/** Creates a replay cache of at most `maxEntries` envelopes. When full it refuses: forgetting one would let it in again. */
export function createReplayCache({ maxEntries }: { maxEntries: number }): ReplayCache {
  /** By expiry: an envelope always has the same one, so it is looked for in one set, and a set is forgotten at once. */
  const byExpiry = new Map<number, Set<string>>()
  let entries = 0
  let sweptS = 0

  function forgetExpired(nowS: number): void {
    if (nowS === sweptS) return
    sweptS = nowS
    for (const [expS, leaves] of byExpiry) {
      if (nowS - expS <= MAX_SKEW_S) continue
      byExpiry.delete(expS)
      entries -= leaves.size
    }
  }

  return {
    enter(tenantId, leaf, expS, nowS) {
      forgetExpired(nowS)
      const leaves = byExpiry.get(expS) ?? new Set()
      const name = nameOf(tenantId, leaf)
      if (leaves.has(name)) throw new AppError('envelope.replay', 'The envelope is authentic, but was opened before.')
      if (entries >= maxEntries)
        throw new AppError('envelope.replay', 'Too many envelopes to tell whether this one is new.')
      byExpiry.set(expS, leaves.add(name))
      entries++
    },
    leave(tenantId, leaf, expS) {
      if (byExpiry.get(expS)?.delete(nameOf(tenantId, leaf))) entries--
    },
  }
}
