import { createFairShare } from '../../core/fair-share.ts'

export interface HashQueueLimits {
  /** Jobs under way at once. */
  readonly parallel: number
  /** Jobs that may wait. */
  readonly waiting: number
}

/** Runs costly jobs, a few at once, for holders that must not crowd each other out. */
export interface HashQueue {
  /**
   * Runs a job when its turn comes. `undefined` when the queue or the holder's share of it is full, or when the signal ends the
   * wait. A job that has begun by then goes on, so that what it finds can be kept; one that has not never begins.
   */
  run<T>(holder: string, job: () => Promise<T>, signal: AbortSignal): Promise<T | undefined>
}

/** First come, first served. Places are shared as `createFairShare` says: one address alone never takes all of them. */
export function createHashQueue({ parallel, waiting }: HashQueueLimits): HashQueue {
  const places = parallel + waiting
  const share = createFairShare({ most: () => places, shared: () => places, floor: 1 })
  const starts = new Set<() => void>()
  let running = 0

  function next(): void {
    const [start] = starts
    if (start === undefined || running >= parallel) return
    starts.delete(start)
    start()
  }

  return {
    run<T>(holder: string, job: () => Promise<T>, signal: AbortSignal) {
      if (signal.aborted || !share.take(holder)) return Promise.resolve(undefined)
      const { promise, resolve, reject } = Promise.withResolvers<T | undefined>()
      const leave = () => {
        if (starts.delete(start)) share.give(holder)
        resolve(undefined)
      }
      const end = () => {
        signal.removeEventListener('abort', leave)
        running--
        share.give(holder)
        next()
      }
      const start = () => {
        running++
        job().then(resolve, reject).finally(end)
      }
      signal.addEventListener('abort', leave, { once: true })
      starts.add(start)
      next()
      return promise
    },
  }
}
