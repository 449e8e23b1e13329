/** Counts the requests whose handlers still run; a cut connection does not end a handler. */
export interface InFlight {
  /** @returns what to call, once, when the handler has ended */
  enter(): () => void
  /** Resolves when no handler runs. */
  settled(): Promise<void>
}

export function createInFlight(): InFlight {
  const idle = new Set<() => void>()
  let running = 0
  return {
    enter() {
      running++
      return () => {
        if (--running > 0) return
        for (const resolve of idle) resolve()
        idle.clear()
      }
    },
    settled: () => (running === 0 ? Promise.resolve() : new Promise((resolve) => idle.add(resolve))),
  }
}
