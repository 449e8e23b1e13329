/** A bounded number of things under way, and a bounded number that wait for one of them to end, in their order. */
export interface Turns {
  /** Runs when it is its turn; `undefined`, with nothing run, where too many wait already or the wait was given up. */
  run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T | undefined>
  readonly running: number
  readonly waiting: number
}

/** Creates turns: `parallel` at once, `waiting` more in a queue. */
export function createTurns(limits: { readonly parallel: number; readonly waiting: number }): Turns {
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
    async run(task, signal) {
      if (signal.aborted) return undefined
      if (running < limits.parallel) running++
      else if (queue.size >= limits.waiting || !(await wait(signal))) return undefined
      try {
        return await task()
      } finally {
        const [next] = queue // whoever is next takes this place, so that nobody slips in between
        if (next) next()
        else running--
      }
    },
    get running() {
      return running
    },
    get waiting() {
      return queue.size
    },
  }
}
