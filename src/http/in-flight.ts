/** What is done about a request whose time is up. */
export interface Watched {
  /** On the monotonic clock. */
  dueMs: number
  /** Answers in place of a handler that has not. @returns false to be asked again */
  overdue(): boolean
}

/** The requests whose handlers still run; a cut connection does not end a handler, and neither does an overdue answer. */
export interface InFlight {
  /** @returns what to call, once, when the handler has ended */
  enter(watched: Watched): () => void
  /** As `enter`, for what ends by itself in time. @returns what to call, once, when it has */
  hold(): () => void
  /** Resolves when no handler runs. */
  settled(): Promise<void>
  /** From here on the server says that it is not ready; what comes is still served. */
  stop(): void
  readonly stopping: boolean
}

/**
 * One look at all requests, instead of a timer for each. What is due is told at the second look, so that after a stall
 * handlers come first.
 */
const LOOK_EVERY_MS = 20

/** @param monotonic milliseconds, of the clock that deadlines are told by */
export function createInFlight(monotonic: () => number = () => performance.now()): InFlight {
  const idle = new Set<() => void>()
  const watching = new Set<Watched>()
  let due = new Set<Watched>()
  let looks: NodeJS.Timeout | undefined
  let running = 0
  let stopping = false

  function look(): void {
    const nowMs = monotonic()
    const before = due
    due = new Set()
    for (const one of watching) {
      if (one.dueMs > nowMs) continue
      if (before.has(one) && one.overdue()) watching.delete(one)
      else due.add(one)
    }
    if (watching.size > 0) return
    clearInterval(looks)
    looks = undefined
  }

  function leave(): void {
    if (--running > 0) return
    for (const resolve of idle) resolve()
    idle.clear()
  }

  return {
    enter(watched) {
      running++
      watching.add(watched)
      looks ??= setInterval(look, LOOK_EVERY_MS)
      return () => {
        watching.delete(watched)
        leave()
      }
    },
    hold() {
      running++
      return leave
    },
    settled: () => (running === 0 ? Promise.resolve() : new Promise((resolve) => idle.add(resolve))),
    stop() {
      stopping = true
    },
    get stopping() {
      return stopping
    },
  }
}
