/** Milliseconds of work between two turns of the event loop. */
const SLICE_MS = 8

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0)
  })
}

/** Runs a generator to its end, and gives the event loop a turn whenever a slice of time is used up. */
export async function inSlices<T>(steps: Generator<void, T>): Promise<T> {
  let untilMs = performance.now() + SLICE_MS
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
    if (performance.now() < untilMs) continue
    await nextTurn()
    untilMs = performance.now() + SLICE_MS
  }
}
