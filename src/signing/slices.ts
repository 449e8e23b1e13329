/** Does short pieces of work in the order of asking, a slice of them in each turn of the event loop. */
export interface Slices {
  run<Result>(work: () => Result): Promise<Result>
}

/** Milliseconds of one turn: many sockets and timers get their turn between two of them. */
const SLICE_MS = 0.3

/**
 * Keeps a burst of work from holding the event loop: what does not fit into a slice of 0.3 ms waits for the next turn,
 * behind the sockets that are ready. A piece that is longer than a slice runs whole.
 */
export function createSlices({ monotonic }: { monotonic: () => number }): Slices {
  const waiting: (() => void)[] = []

  function turn(): void {
    const endMs = monotonic() + SLICE_MS
    let done = 0
    do {
      waiting[done++]?.()
    } while (done < waiting.length && monotonic() < endMs)
    waiting.splice(0, done)
    if (waiting.length > 0) setImmediate(turn)
  }

  return {
    run: (work) =>
      new Promise((resolve, reject) => {
        if (waiting.length === 0) setImmediate(turn)
        waiting.push(() => {
          try {
            resolve(work())
          } catch (err) {
            reject(err)
          }
        })
      }),
  }
}
