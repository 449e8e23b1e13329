import { createFairShare } from '../core/fair-share.ts'
import { sourceOf } from '../policy/ip-address.ts'
import type { Credentials } from './provider.ts'

/** Runs what is costly, a few at once, for holders that must not crowd each other out. */
export interface SharedTurns {
  /**
   * Runs a task when its turn comes. `undefined`, with nothing run, when all places or the holder's share of them are taken, or
   * when the signal ends the wait; a task that has begun goes on.
   */
  run<T>(holder: string, task: () => Promise<T>, signal: AbortSignal): Promise<T | undefined>
}

export interface TurnLimits {
  /** Tasks under way at once. */
  readonly parallel: number
  /** Tasks that may wait. */
  readonly waiting: number
}

/** First come, first served. Places are shared as `createFairShare` says: one holder alone never takes all of them. */
export function createSharedTurns({ parallel, waiting }: TurnLimits): SharedTurns {
  const places = parallel + waiting
  const share = createFairShare({ most: () => places, shared: () => places, floor: 1 })
  const queue = new Set<() => void>()
  let running = 0

  function wait(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (mayRun: boolean) => {
        signal.removeEventListener('abort', giveUp)
        queue.delete(start)
        resolve(mayRun)
      }
      const start = () => settle(true)
      const giveUp = () => settle(false)
      queue.add(start)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  return {
    async run(holder, task, signal) {
      if (signal.aborted || !share.take(holder)) return undefined
      try {
        if (running < parallel) running++
        else if (!(await wait(signal))) return undefined
        try {
          return await task()
        } finally {
          const [next] = queue // whoever is next takes this place, so that nobody slips in between
          if (next) next()
          else running--
        }
      } finally {
        share.give(holder)
      }
    },
  }
}

/** Whose share a client counts in: its address or net, or its name where the surface knows no address. */
export function holderOf({ ip, username = '' }: Pick<Credentials, 'ip' | 'username'>): string {
  return ip === undefined ? username : sourceOf(ip)
}

/** What is promised, or `undefined` once nobody waits; what is under way goes on. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
  const giveUp = () => resolve(undefined)
  signal.addEventListener('abort', giveUp, { once: true })
  if (signal.aborted) giveUp()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
